// Package lock keeps a guest from running twice on one host. A lock is taken
// with flock(2) on a descriptor that the guest kernel inherits, so that it is
// held as long as the kernel lives, with nothing of ours in between.
//
// A kernel that is killed with SIGKILL can leave children behind that go on
// holding the descriptor though no guest runs. Take tells them from a live
// kernel by the lock itself and ends them.
//
// Not promised: a lock between hosts. On NFS flock is a lock of the server's,
// and whether its holder can be named depends on which host it runs on.
package lock

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/handle"
)

// Name is the lock file in the machine directory.
const Name = "lock"

// Held is the error for a lock that a live process holds.
type Held struct {
	Path string
	PID  int
	Why  string
	Runs bool // the very process that took a machine's lock: its kernel, or a start
}

func (h *Held) Error() string {
	if h.PID <= 0 { // an open file description's lock (F_OFD_SETLK), or another pid namespace
		return fmt.Sprintf("%s: held by a process that the lock does not name, %s", h.Path, h.Why)
	}
	return fmt.Sprintf("%s: held by process %d, %s", h.Path, h.PID, h.Why)
}

// Temporary is true: the guest that runs now may end.
func (h *Held) Temporary() bool { return true }

// Open opens the machine's lock file, and makes it if it is not there. Only root
// can open it, so a guest's user can neither take the lock nor release it.
func Open(dir *handle.Dir) (*os.File, error) {
	name := dir.Join(Name)
	how := unix.OpenHow{
		Flags:   access(dir) | unix.O_CREAT | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC,
		Mode:    0o600,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS,
	}
	fd, err := unix.Openat2(dir.Fd(), Name, &how)
	if errors.Is(err, unix.ELOOP) {
		return nil, fault.Permanent("%s: is a symbolic link (remove it)", name)
	}
	if errors.Is(err, unix.EISDIR) || errors.Is(err, unix.ENXIO) {
		return nil, fault.Permanent("%s: is not a regular file (remove it)", name)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	f := os.NewFile(uintptr(fd), name)
	if err := own(fd, name); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// access: the guest's user inherits the descriptor, and could fill root's disc
// through one that writes. Only NFS, where flock is a lock of fcntl's kind, takes
// an exclusive lock on no other (flock(2)).
func access(dir *handle.Dir) uint64 {
	var fs unix.Statfs_t
	if unix.Fstatfs(dir.Fd(), &fs) == nil && fs.Type == unix.NFS_SUPER_MAGIC {
		return unix.O_RDWR
	}
	return unix.O_RDONLY
}

// own makes sure that the lock file is root's alone.
func own(fd int, name string) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fmt.Errorf("stat %s: %w", name, err)
	}
	if err := judgeFile(&st, name); err != nil {
		return err
	}
	if st.Mode&0o077 != 0 {
		if err := unix.Fchmod(fd, 0o600); err != nil {
			return fmt.Errorf("chmod %s: %w", name, err)
		}
	}
	return nil
}

// Still says whether the name in dir is the file that was locked: an
// administrator may have deleted or replaced it between open and lock.
func Still(dir *handle.Dir, f *os.File) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return fmt.Errorf("stat %s: %w", f.Name(), err)
	}
	now, err := dir.Open(Name)
	if err != nil {
		return fault.Temporary("%s: gone while it was locked: %w", f.Name(), err)
	}
	defer now.Close()
	if !now.Same(&st) {
		return fault.Temporary("%s: replaced while it was locked", f.Name())
	}
	return nil
}

// Take takes the lock at once or says who holds it. Strays of a killed kernel
// that ran as uid are ended first, and say is told of them.
func Take(f *os.File, uid int, say func(string)) error {
	for range 5 {
		if done, err := try(f, unix.LOCK_EX); done {
			return err
		}
		holders, err := Find(f)
		if err != nil {
			return err
		}
		if len(holders) == 0 { // let go between the two looks
			time.Sleep(5 * time.Millisecond)
			continue
		}
		if err := judge(f.Name(), holders, uid); err != nil {
			return err
		}
		if err := end(f, holders, uid); err != nil {
			return err
		}
		say(fmt.Sprintf("ended %s left by a killed guest kernel", Describe(holders)))
	}
	return fault.Temporary("%s: locked, and no process to be seen that holds it (another host, or a container?)", f.Name())
}

// TakeDisc locks a disc that this machine's lock does not cover: another
// machine, or a kernel started by hand, may name the same file. Shared is for
// what is only read.
func TakeDisc(f *os.File, shared bool) error {
	how := unix.LOCK_EX
	if shared {
		how = unix.LOCK_SH
	}
	for range 5 {
		if done, err := try(f, how); done {
			return err
		}
		holders, err := Find(f)
		if err != nil {
			return err
		}
		if len(holders) > 0 {
			return &Held{Path: f.Name(), PID: holders[0].PID, Why: "the disc is in use"}
		}
		time.Sleep(5 * time.Millisecond)
	}
	return fault.Temporary("%s: the disc is locked, and no process to be seen that holds it", f.Name())
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
		return &Held{Path: f.Name(), PID: int(l.Pid), Why: "which has the disc open"}
	}
	return nil
}

func try(f *os.File, how int) (done bool, err error) {
	for {
		err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
		switch {
		case err == nil:
			return true, nil
		case errors.Is(err, unix.EWOULDBLOCK):
			return false, nil
		case !errors.Is(err, unix.EINTR):
			return true, fmt.Errorf("lock %s: %w", f.Name(), err)
		}
	}
}

// judge is nil if all holders are provably strays: the process that took the
// lock is not among them, and each runs as the machine's own user.
func judge(name string, holders []Holder, uid int) error {
	for _, h := range holders {
		for _, o := range holders {
			if h.Taker == o.PID {
				return &Held{name, o.PID, "the guest runs or is being started", true}
			}
		}
		if h.Taker <= 0 {
			return &Held{Path: name, PID: h.PID, Why: "whose lock was taken in another pid namespace"}
		}
	}
	for _, h := range holders {
		if !h.runsAs(uid) {
			return &Held{Path: name, PID: h.PID, Why: "which is no stray of this machine's user"}
		}
	}
	return nil
}

// Describe names strays in the words of a message.
func Describe(holders []Holder) string {
	var pids []string
	for _, h := range holders {
		pids = append(pids, fmt.Sprint(h.PID))
	}
	if len(pids) == 1 {
		return "stray process " + pids[0]
	}
	return "stray processes " + strings.Join(pids, ", ")
}
