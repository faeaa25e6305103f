// Package initramfs writes what a guest's kernel unpacks into its first root before
// any disc is mounted: a program and the modules that a kernel needs for it. That is
// uml-overlay-init, which joins a base disc that many guests share with a small one of
// the guest's own, or mounts one as the kernel would (package overlay), or uml-appliance-init, which does a job on a disc
// (package inside). It changes nothing but what it writes.
//
// The same files make the same archive, byte for byte.
package initramfs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"uml/fault"
)

// Options are what goes in.
type Options struct {
	Init    string   // the file of the guest's first program: see Find
	Modules []string // files of modules, in the order in which they are to be loaded: see Modules
	Job     []byte   // the file job, for who has one
	Plain   bool     // the root is no overlay, but what root= says
}

// maxFile bounds what is read of one file. All is unpacked into the guest's memory.
const maxFile = 64 << 20

// Write writes the archive.
func Write(w io.Writer, o Options) error {
	a := &archive{w: w}
	files := []struct{ from, to string }{{o.Init, "init"}}
	for i, m := range o.Modules {
		files = append(files, struct{ from, to string }{m, fmt.Sprintf("modules/%03d-%s", i, filepath.Base(m))})
	}
	if len(o.Modules) > 0 {
		a.directory("modules")
	}
	for _, f := range files {
		text, err := read(f.from)
		if err != nil {
			return err
		}
		a.file(f.to, text)
	}
	if o.Job != nil {
		a.file("job", o.Job)
	}
	if o.Plain {
		a.file("plain", nil)
	}
	a.end()
	return a.err
}

func read(name string) ([]byte, error) {
	f, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fault.Permanent("%w", err)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = fault.Permanent("%s: is larger than %d bytes", name, maxFile)
	}
	return text, err
}

// The guests' programs.
const (
	OverlayInit   = "uml-overlay-init"
	ApplianceInit = "uml-appliance-init"
)

// Find is the file of a guest's program: beside the program that runs, as it is built, or
// where make install puts it, ../lib/uml.
func Find(program string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	dir := filepath.Dir(self)
	for _, name := range []string{filepath.Join(dir, program), filepath.Join(dir, "../lib/uml", program)} {
		if _, err := os.Stat(name); !errors.Is(err, os.ErrNotExist) {
			return name, err
		}
	}
	return "", fault.Permanent("%s: there is no such file (make install puts it there)", filepath.Join(dir, "../lib/uml", program))
}
