// Package initramfs writes what a guest's kernel unpacks into its first root before
// any disc is mounted: here the program uml-overlay-init, which joins a base disc that
// many guests share with a small one of the guest's own, and the modules that a kernel
// needs for it. It changes nothing but what it writes; uml-overlay-init itself is
// package overlay.
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
	Init    string   // the file uml-overlay-init: see FindInit
	Modules []string // files of modules, in the order in which they are to be loaded: see Modules
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

// Name is that of the guest's program.
const Name = "uml-overlay-init"

// FindInit is the file uml-overlay-init: beside the program that runs, as it is built, or
// where make install puts it, ../lib/uml.
func FindInit() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	dir := filepath.Dir(self)
	for _, name := range []string{filepath.Join(dir, Name), filepath.Join(dir, "../lib/uml", Name)} {
		if _, err := os.Stat(name); !errors.Is(err, os.ErrNotExist) {
			return name, err
		}
	}
	return "", fault.Permanent("%s: there is no such file (make install puts it there)", filepath.Join(dir, "../lib/uml", Name))
}
