package initramfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"uml/fault"
)

// Modules are the files of those modules of one release that name needs, it being the
// last, in the order in which they are to be loaded; dir is that release's directory,
// such as /usr/lib/uml/modules/6.1.176, in which depmod(8) has written modules.dep.
func Modules(dir, name string) ([]string, error) {
	list := filepath.Join(dir, "modules.dep")
	text, err := os.ReadFile(list)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.Permanent("%w (what modules are there of this kernel's release?)", err)
	}
	if err != nil {
		return nil, err
	}
	files, err := needed(string(text), name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", list, err)
	}
	for i, f := range files {
		files[i] = filepath.Join(dir, f)
	}
	return files, nil
}

// ErrNone is of a module that is none of a kernel's.
var ErrNone = errors.New("has no module")

// needed takes modules.dep: on each line a module's file, a colon, and the files of
// all that it needs, what is to be loaded first standing last.
func needed(list, name string) ([]string, error) {
	for line := range strings.Lines(list) {
		file, needs, ok := strings.Cut(line, ":")
		stem, ending, _ := strings.Cut(path.Base(file), ".")
		if !ok || module(stem) != module(name) {
			continue
		}
		if ending != "ko" {
			return nil, fault.Permanent("%s: is compressed, and uml-overlay-init loads no such module (unpack it, and run depmod)", file)
		}
		files := append([]string{file}, strings.Fields(needs)...)
		slices.Reverse(files)
		for _, f := range files {
			if !filepath.IsLocal(f) {
				return nil, fault.Permanent("%q lies elsewhere", f)
			}
		}
		return files, nil
	}
	return nil, fault.Permanent("%w %s", ErrNone, name)
}

// module: depmod and the kernel take - and _ for the same.
func module(name string) string { return strings.ReplaceAll(name, "-", "_") }
