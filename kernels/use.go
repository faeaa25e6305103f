package kernels

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/handle"
	"uml/lock"
	"uml/settings"
)

// A Use is a machine that a kernel is for.
type Use struct {
	Machine string `json:"machine"`
	Set     bool   `json:"set"`               // its settings name it
	Running int    `json:"running,omitempty"` // the process of its guest that has the image; 0: none

	dir    *handle.Dir
	kernel string // of the store, by its settings
	also   string // likewise, by another setting than kernel
	m      *settings.Machine
	pid    int // of its guest, if it runs
}

// machines looks at all machines below a machines root, or at those that are named.
func (s *Store) machines(root string, named []string) (all []*Use, err error) {
	if named == nil {
		named, err = settings.Machines(root)
		if _, none := os.Stat(root); errors.Is(none, fs.ErrNotExist) {
			return nil, nil // a host without machines
		}
		if err != nil {
			return nil, err
		}
	}
	var accounts settings.Accounts
	var errs []error
	for _, name := range named {
		at, err := settings.Locate(root, name)
		if err != nil {
			return nil, err
		}
		u, err := s.machine(at, &accounts)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		all = append(all, u)
	}
	return all, errors.Join(errs...)
}

func (s *Store) machine(at string, accounts *settings.Accounts) (*Use, error) {
	dir, err := handle.OpenDir(at)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return nil, fault.MachineMissing.Permanent("%s: there is no such machine", at)
	}
	if err != nil {
		return nil, err
	}
	m, err := accounts.Read(dir)
	if m == nil { // of one with other faults it is known which kernel it has
		dir.Close()
		return nil, err
	}
	u := &Use{Machine: m.Name, dir: dir, m: m, kernel: s.nameOf(m.Kernel), also: s.nameOf(m.Initrd)}
	for _, d := range m.Discs {
		u.also = cmp.Or(u.also, s.nameOf(d.File), s.nameOf(d.Backing))
	}
	if taker, err := lock.Taker(dir); err == nil && taker != nil {
		u.pid = taker.PID
	}
	return u, nil
}

func closeAll(all []*Use) {
	for _, u := range all {
		u.dir.Close()
	}
}

// users are the machines that have a kernel in use, of all, and whatever else runs it.
func (s *Store) users(name string, all []*Use, running map[file][]int) (users []Use, err error) {
	pids, err := s.runs(name, running)
	if err != nil {
		return nil, err
	}
	var known []int
	for _, u := range all {
		use := Use{Machine: u.Machine, Set: u.kernel == name || u.also == name}
		if u.pid != 0 && slices.Contains(pids, u.pid) {
			use.Running = u.pid
			known = append(known, u.pid)
		}
		if use.Set || use.Running != 0 {
			users = append(users, use)
		}
	}
	if len(known) == 0 && len(pids) > 0 { // of no machine here: another root's, or a trial
		users = append(users, Use{Running: pids[0]})
	}
	return users, nil
}

// runs are the processes that have the kernel's image.
func (s *Store) runs(name string, running map[file][]int) ([]int, error) {
	var st unix.Stat_t
	if err := unix.Stat(s.image(name), &st); err != nil {
		if errors.Is(err, unix.ENOENT) {
			return nil, nil
		}
		return nil, &os.PathError{Op: "stat", Path: s.image(name), Err: err}
	}
	return running[file{st.Dev, st.Ino}], nil
}

type file struct{ dev, ino uint64 }

// programs are those that all processes of the host run, by their files: a guest's kernel
// and all that it has started has the store's own file, bound into its jail.
func programs() (map[file][]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	all := map[file][]int{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if st, err := handle.Known(path.Join("/proc", e.Name(), "exe")); err == nil { // else it is gone, or the kernel's own
			at := file{st.Dev, st.Ino}
			all[at] = append(all[at], pid)
		}
	}
	return all, nil
}
