package fault

import "errors"

// An ID names a message for programs, whatever words it is in: uml-messages(7) has
// each, its meaning and the mend. They stay as they are.
type ID string

type named struct {
	error
	id ID
}

func (n named) Unwrap() error { return n.error }

// Named gives an error an ID; nil stays nil. Of several the outermost holds.
func Named(id ID, err error) error {
	if err == nil {
		return nil
	}
	return named{err, id}
}

// IDOf is the ID of one error (Parts takes joined ones apart), and without one what its exit
// code says.
func IDOf(err error) ID {
	var n named
	switch {
	case errors.As(err, &n):
		return n.id
	case Code(err) == MustMend:
		return Unmended
	}
	return Unpassed
}

// The IDs of errors that have no other.
const (
	Unmended ID = "must-mend" // exit code 100
	Unpassed ID = "may-pass"  // exit code 111
)
