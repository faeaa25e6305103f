package tool

import (
	"context"

	"uml/fault"
)

// Download fetches a package of the host's distribution, checked by its signatures, into
// the directory that the runner is in, and installs nothing. Of several versions it is the
// one that an installation would take.
func (r Runner) Download(ctx context.Context, name string) error {
	code, said, err := r.run(ctx, nil, "apt-get", "-q", "download", name)
	if err == nil && code != 0 {
		err = fault.ProgramFailed.Permanent("apt-get download %s: %s", name, said)
	}
	return err
}
