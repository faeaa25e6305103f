package roster

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/handle"
	"uml/jail"
)

// attached adds the discs that the guest was given while it runs: its jail has them
// in a directory that only root writes. Who may not look there sees none.
func (m *Machine) attached(dir *handle.Dir, pid int) {
	root, err := handle.OpenDir(fmt.Sprintf("/proc/%d/root", pid))
	if err != nil {
		return
	}
	defer root.Close()
	annex, err := root.List(jail.Annex)
	if err != nil {
		return
	}
	defer annex.Close()
	names, _ := annex.Names(64)
	slices.Sort(names)
	for _, device := range names {
		if n, ok := strings.CutPrefix(device, "ubd"); !ok || len(n) != 1 { // a note, or what a disc is backed by
			continue
		}
		st, err := annex.Lstat(device)
		if err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
			continue
		}
		m.Discs = slices.DeleteFunc(m.Discs, func(d Disc) bool { return d.Device == device }) // what the settings say is for the next start
		m.Discs = append(m.Discs, Disc{device, file(dir, device, &st), st.Size, st.Blocks * 512})
	}
}

// file is the name that an attached disc has in the jail, as nearly all have: of a
// mount the host's name is not told.
func file(dir *handle.Dir, device string, st *unix.Stat_t) string {
	in, err := dir.List("jail")
	if err == nil {
		defer in.Close()
		names, _ := in.Names(64)
		for _, name := range names {
			if is, err := in.Lstat(name); err == nil && is.Dev == st.Dev && is.Ino == st.Ino {
				return fault.Line(name) // the user chooses it
			}
		}
	}
	return "/" + jail.Annex + "/" + device
}
