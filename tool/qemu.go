package tool

import (
	"context"
	"os"

	"uml/fault"
)

// FromQcow2 writes what an image of QEMU's has into a file, which is empty, as a disc.
func (r Runner) FromQcow2(ctx context.Context, dst, src *os.File) error {
	return r.convert(ctx, dst, src, "qcow2", "raw")
}

// ToQcow2 is the other way.
func (r Runner) ToQcow2(ctx context.Context, dst, src *os.File) error {
	return r.convert(ctx, dst, src, "raw", "qcow2")
}

// convert says both formats, since qemu-img would believe what a file says that it is.
func (r Runner) convert(ctx context.Context, dst, src *os.File, from, to string) error {
	code, said, err := r.run(ctx, []*os.File{src, dst}, "qemu-img", "convert", "-f", from, "-O", to, given(0), given(1))
	if err == nil && code != 0 {
		err = fault.ProgramFailed.Permanent("qemu-img: %s", said)
	}
	return err
}
