package fault

import (
	"errors"
	"fmt"
)

// An ID names a message for programs, whatever words it is in: ids.go has them all, and
// uml-messages(7) with each its meaning and the mend. They stay as they are.
type ID string

// Permanent is Permanent for a fault of that ID.
func (id ID) Permanent(format string, args ...any) error {
	return fault{fmt.Errorf(format, args...), false, id}
}

// Temporary is Temporary for a fault of that ID.
func (id ID) Temporary(format string, args ...any) error {
	return fault{fmt.Errorf(format, args...), true, id}
}

type named struct {
	error
	id ID
}

func (n named) Unwrap() error { return n.error }
func (n named) FaultID() ID   { return n.id }

// A place is the machine that an error is about.
type place struct {
	error
	machine string
}

func (p place) Unwrap() error { return p.error }

// In says what machine each part of err is about.
func In(machine string, err error) error {
	return each(err, func(part error) error { return place{part, machine} })
}

// MachineOf is the machine that an error is about, "" if nobody said.
func MachineOf(err error) string {
	var p place
	errors.As(err, &p)
	return p.machine
}

// each wraps the parts of an error, so that Parts still takes them apart.
func each(err error, wrap func(error) error) error {
	parts := Parts(err)
	if len(parts) == 1 {
		return wrap(err)
	}
	for i, p := range parts {
		parts[i] = wrap(p)
	}
	return errors.Join(parts...)
}

// Of gives the ID to each part of err that is a fault and has none: who knows it best, the
// innermost, has named it already. What only a system call said stays without: it may be
// anything.
func (id ID) Of(err error) error {
	return each(err, func(part error) error {
		if find(part) != "" || !is(part) {
			return part
		}
		return named{part, id}
	})
}

// IDOf is the ID of one error (Parts takes joined ones apart), and without one what its exit
// code says. Another type than this package's has it by a method FaultID.
func IDOf(err error) ID {
	if id := find(err); id != "" {
		return id
	}
	if Code(err) == MustMend {
		return MustMendID
	}
	return MayPassID
}

// find is the innermost ID.
func find(err error) (id ID) {
	for err != nil {
		if has, is := err.(interface{ FaultID() ID }); is && has.FaultID() != "" {
			id = has.FaultID()
		}
		switch e := err.(type) {
		case interface{ Unwrap() error }:
			err = e.Unwrap()
		case interface{ Unwrap() []error }:
			for _, in := range e.Unwrap() {
				if found := find(in); found != "" {
					return found
				}
			}
			return id
		default:
			return id
		}
	}
	return id
}
