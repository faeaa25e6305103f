package disc

import (
	"io"

	"uml/sparse"
)

// Options are what all commands have in common.
type Options struct {
	Out io.Writer // what was asked for
	// Work begins to show long work on so many bytes; done ends it. nil shows nothing.
	Work func(what string, bytes int64) (told func(bytes int64), done func())
}

func (o Options) work(what string, bytes int64) (sparse.Told, func()) {
	if o.Work == nil {
		return nil, func() {}
	}
	return o.Work(what, bytes)
}
