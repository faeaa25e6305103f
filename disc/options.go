package disc

import (
	"io"

	"uml/sparse"
)

// Options are what all commands have in common.
type Options struct {
	Out    io.Writer    // what was asked for
	Say    func(string) // what is amiss all the same
	NoSync bool         // do not wait until a new file is on the host's disc
	// Work begins to show long work on so many bytes; done ends it. nil shows nothing.
	Work func(what string, bytes int64) (told func(bytes int64), done func())
}

func (o Options) work(what string, bytes int64) (sparse.Told, func()) {
	if o.Work == nil {
		return nil, func() {}
	}
	return o.Work(what, bytes)
}

// new finds the place of a file that is to be made.
func (o Options) new(file string) (*Place, error) {
	p, err := Find(file)
	if err == nil {
		p.NoSync = o.NoSync
	}
	return p, err
}
