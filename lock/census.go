package lock

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/handle"
)

// A Census is every flock that processes of this host hold, found in one look
// through /proc: what Find is for a single file, for who asks about many.
type Census map[file][]Holder

// file is a file by device and inode.
type file [2]uint64

// TakeCensus looks through /proc. It takes some 5 microseconds a descriptor.
func TakeCensus() (Census, error) {
	all := Census{}
	var a allowance
	return all, eachProcess(func(pid int) error { return all.add(pid, &a) })
}

// add looks through one process's descriptors.
func (c Census) add(pid int, a *allowance) error {
	return eachLocked(pid, nil, a, func(id file, taker int) error {
		if l := len(c[id]); l == 0 || c[id][l-1].PID != pid { // it is one process after the other
			c[id] = append(c[id], Holder{PID: pid, Taker: taker})
		}
		return nil
	})
}

// Of lists the processes that hold a flock on the file.
func (c Census) Of(st *unix.Stat_t) []Holder {
	var all []Holder
	for _, h := range c[file{st.Dev, st.Ino}] {
		if status, err := handle.ReadProc("/proc/" + strconv.Itoa(h.PID) + "/status"); err == nil {
			h.UIDs = handle.UIDs(status)
			all = append(all, h)
		}
	}
	return all
}

// See says how the machine's lock stands without taking, making or mending it,
// so that a start at the same time is not disturbed: who holds it lawfully, and
// all who do; with nobody that does so lawfully they are strays, which the next
// Take would end. What Take would refuse for another reason is the error.
func See(dir *handle.Dir, uid int, all Census) (by *Held, holders []Holder, err error) {
	f, err := dir.Open(Name)
	if errors.Is(err, unix.ENOENT) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	if err := judgeFile(&f.Stat, f.Path); err != nil {
		return nil, nil, err
	}
	holders = all.Of(&f.Stat)
	err = judge(f.Path, holders, uid)
	if errors.As(err, &by) && by.Runs {
		return by, holders, nil
	}
	return nil, holders, err
}

// SeeDisc says who uses a disc, without locking it: processes of no machine whose
// lock is held by own. The file is open for reading.
func SeeDisc(f *os.File, own []Holder, shared bool, all Census) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return fmt.Errorf("stat %s: %w", f.Name(), err)
	}
	for _, h := range all.Of(&st) {
		if !ofMachine(h.PID, own) && !shared {
			return &Held{Path: f.Name(), PID: h.PID, Why: "the disc is in use", ID: fault.DiscInUse}
		}
	}
	var held *Held
	err := Unopened(f, shared)
	if errors.As(err, &held) && ofMachine(held.PID, own) {
		return nil
	}
	return err
}

// ofMachine also knows the process that took the lock: a disc's lock goes on
// naming it when only its strays are left.
func ofMachine(pid int, own []Holder) bool {
	return slices.ContainsFunc(own, func(h Holder) bool { return h.PID == pid || h.Taker == pid })
}

// judgeFile refuses a lock file that is not root's alone.
func judgeFile(st *unix.Stat_t, name string) error {
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		return fault.LockForeign.Permanent("%s: is a symbolic link (remove it)", name)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return fault.LockForeign.Permanent("%s: is not a regular file (remove it)", name)
	}
	if st.Uid != 0 || st.Nlink > 1 {
		return fault.LockForeign.Permanent("%s: is not root's alone (owner %d, %d links; remove it)", name, st.Uid, st.Nlink)
	}
	return nil
}
