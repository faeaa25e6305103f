package template

import (
	"context"
	"os"

	"uml/fault"
	"uml/sparse"
	"uml/tool"
)

// Verify reads the whole image: whether it is the one that was made, and sound. What looks
// into an ext filesystem runs as that user.
func (t *Template) Verify(ctx context.Context, as tool.Runner, told sparse.Told) error {
	f, err := os.Open(t.Image())
	if err != nil {
		return err
	}
	defer f.Close()
	sum, err := Digest(ctx, f, t.Size, told)
	if err != nil {
		return err
	}
	if sum != t.SHA256 {
		return fault.Permanent("%s: is not as it was made: its sha256 is %s, its manifest says %s (build it anew under its name; what stands on it is worthless)", t.Image(), sum, t.SHA256)
	}
	if !IsExt(t.Filesystem) {
		return nil
	}
	sound, said, err := as.Check(ctx, f, false)
	if err == nil && !sound {
		err = fault.Permanent("%s: e2fsck: %s", t.Image(), said)
	}
	return err
}

// IsExt says whether e2fsck looks into it.
func IsExt(filesystem string) bool {
	return filesystem == "ext2" || filesystem == "ext3" || filesystem == "ext4"
}
