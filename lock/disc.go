package lock

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"uml/fault"
)

// TakeDisc locks a disc that this machine's lock does not cover: another
// machine, or a kernel started by hand, may name the same file. Shared is for
// what is only read.
//
// A file that only root can write, as a backing file should be, is opened for
// reading though another has it locked, if none that does is root's: who can read
// a file can lock it, and a guest that was broken out of would else keep down all
// that share it.
func TakeDisc(f *os.File, shared bool) error {
	how := unix.LOCK_EX
	if shared {
		how = unix.LOCK_SH
	}
	for until := time.Now().Add(patience); time.Now().Before(until); {
		if done, err := try(f, how); done {
			return err
		}
		holders, err := Find(f)
		if err != nil {
			return err
		}
		if i := slices.IndexFunc(holders, Holder.root); i >= 0 {
			return inUse(f, holders[i])
		}
		if len(holders) > 0 {
			if safe, err := onlyRootWrites(f); !shared || !safe || err != nil {
				return cmp.Or(err, inUse(f, holders[0]))
			}
			return nil
		}
		time.Sleep(5 * time.Millisecond)
	}
	return fault.DiscInUse.Temporary("%s: the disc is locked, and no process to be seen that holds it (is it attached to a guest that runs?)", f.Name())
}

func inUse(f *os.File, h Holder) error {
	return &Held{Path: f.Name(), PID: h.PID, Why: "the disc is in use", ID: fault.DiscInUse}
}

// onlyRootWrites: an access list that lets others write shows in the group's bits
// (acl(5), the mask).
func onlyRootWrites(f *os.File) (bool, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return false, fmt.Errorf("stat %s: %w", f.Name(), err)
	}
	return st.Uid == 0 && st.Mode&0o022 == 0, nil
}

// Unopened makes sure that no kernel has the disc open, one that was started
// without us included: the kernel locks its discs with fcntl(2), and two kinds
// of lock do not see each other.
func Unopened(f *os.File, shared bool) error {
	l := unix.Flock_t{Type: unix.F_WRLCK}
	if shared {
		l.Type = unix.F_RDLCK
	}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &l); err != nil {
		return fmt.Errorf("look for a lock on %s: %w", f.Name(), err)
	}
	if l.Type != unix.F_UNLCK {
		return &Held{Path: f.Name(), PID: int(l.Pid), Why: "which has the disc open", ID: fault.DiscInUse}
	}
	return nil
}
