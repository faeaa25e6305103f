package settings

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"uml/fault"
)

// Machines are the names of all machines below a machines root, sorted. What is no
// directory, be it a link to one, or has a name that no machine has, is none: a
// machine's root is the directory that it really is in.
func Machines(root string) (names []string, err error) {
	entries, err := os.ReadDir(root)
	if errors.Is(err, unix.ENOENT) {
		return nil, fault.MachineMissing.Permanent("%s: there is no such directory", root)
	}
	if err != nil {
		return nil, fault.Permanent("%w", err)
	}
	for _, e := range entries {
		if e.IsDir() && CheckName(e.Name()) == nil {
			names = append(names, e.Name())
		}
	}
	return names, nil
}
