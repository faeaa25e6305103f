package check

import (
	"errors"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/roster"
	"uml/runscript"
	"uml/settings"
)

// own are uml-machine's directories in the machines root (uml-machine(8), FILES).
var own = []string{runscript.Staging, ".kept", ".moves"}

// listed are the directories of the machines root that may be machines. Anything
// else there is said: a machine with a mistyped name would never be missed.
func (c *checker) listed() (dirs []string) {
	entries, err := os.ReadDir(c.Machines)
	if errors.Is(err, unix.ENOENT) {
		err = fault.Permanent("%s: there is no such directory (try: install -d -m 755 %s)", c.Machines, c.Machines)
	}
	if errors.Is(err, unix.ENOTDIR) {
		err = fault.Permanent("%s: is not a directory", c.Machines)
	}
	if err != nil {
		c.host.fail("machines", err)
		return nil
	}
	slices.SortFunc(entries, func(a, b os.DirEntry) int { return roster.Natural(a.Name(), b.Name()) })
	for _, e := range entries {
		path := filepath.Join(c.Machines, e.Name())
		switch {
		case !e.IsDir():
			c.host.warn("machines", "%s: is no directory, so no machine (put it elsewhere)", path)
		case slices.Contains(own, e.Name()):
		case settings.CheckName(e.Name()) != nil:
			c.host.warn("machines", "%s: no machine, since %v", path, settings.CheckName(e.Name()))
		default:
			dirs = append(dirs, path)
		}
	}
	c.host.ok("machines", "%d in %s", len(dirs), c.Machines)
	return dirs
}

// rootOwner: whoever can write a directory above the machines can put others in
// their place. In a sticky one (/tmp) nobody can move what is root's.
func (c *checker) rootOwner() {
	dir, err := filepath.EvalSymlinks(c.Machines)
	if err == nil {
		dir, err = filepath.Abs(dir)
	}
	if err != nil {
		return // said already
	}
	before := len(c.host.errs)
	for {
		c.host.fail("owner", rootsAlone(dir))
		if dir == "/" {
			break
		}
		dir = filepath.Dir(dir)
	}
	if len(c.host.errs) == before {
		c.host.ok("owner", "%s is root's alone, all the way up", c.Machines)
	}
}

func rootsAlone(dir string) error {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return &os.PathError{Op: "stat", Path: dir, Err: err}
	}
	if st.Uid != 0 || st.Mode&0o022 != 0 && st.Mode&unix.S_ISVTX == 0 {
		return fault.Permanent("%s: is not root's alone, and what is below can be exchanged (try: chown root: %s; chmod go-w %s)", dir, dir, dir)
	}
	return nil
}
