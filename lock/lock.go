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
	ID   fault.ID
}

func (h *Held) Error() string {
	if h.PID <= 0 { // an open file description's lock (F_OFD_SETLK), or another pid namespace
		return fmt.Sprintf("%s: held by a process that the lock does not name, %s", h.Path, h.Why)
	}
	return fmt.Sprintf("%s: held by process %d, %s", h.Path, h.PID, h.Why)
}

// Temporary is true: the guest that runs now may end.
func (h *Held) Temporary() bool { return true }

func (h *Held) FaultID() fault.ID { return h.ID }

// Open opens the machine's lock file, and makes it if it is not there. Only root
// can open it, so a guest's user can neither take the lock nor release it. What
// stands there is judged before it is opened: a device may act on that.
func Open(dir *handle.Dir) (*os.File, error) {
	for range 5 {
		if err := create(dir); err != nil {
			return nil, err
		}
		at, err := dir.Open(Name)
		if errors.Is(err, unix.ENOENT) {
			continue // removed between the two
		}
		if err != nil {
			return nil, err
		}
		f, err := openJudged(at, access(dir))
		at.Close()
		return f, err
	}
	return nil, fault.LockLost.Temporary("%s: removed again and again", dir.Join(Name))
}

func create(dir *handle.Dir) error {
	fd, err := unix.Openat(dir.Fd(), Name, unix.O_RDONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o600)
	if errors.Is(err, unix.EEXIST) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("make %s: %w", dir.Join(Name), err)
	}
	return unix.Close(fd)
}

func openJudged(at *handle.File, flags int) (*os.File, error) {
	if err := judgeFile(&at.Stat, at.Path); err != nil {
		return nil, err
	}
	f, err := at.Reopen(flags)
	if err != nil {
		return nil, err
	}
	if at.Stat.Mode&0o077 != 0 {
		if err := f.Chmod(0o600); err != nil {
			f.Close()
			return nil, err
		}
	}
	return f, nil
}

// access: the guest's user inherits the descriptor, and could fill root's disc
// through one that writes. Only NFS, where flock is a lock of fcntl's kind, takes
// an exclusive lock on no other (flock(2)).
func access(dir *handle.Dir) int {
	var fs unix.Statfs_t
	if unix.Fstatfs(dir.Fd(), &fs) == nil && fs.Type == unix.NFS_SUPER_MAGIC {
		return unix.O_RDWR
	}
	return unix.O_RDONLY
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
		return fault.LockLost.Temporary("%s: gone while it was locked: %w", f.Name(), err)
	}
	defer now.Close()
	if !now.Same(&st) {
		return fault.LockLost.Temporary("%s: replaced while it was locked", f.Name())
	}
	return nil
}

// Named says whether the lock file still has a name, for a process that can no
// longer look at the directory.
func Named(f *os.File) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return fmt.Errorf("stat %s: %w", f.Name(), err)
	}
	if st.Nlink == 0 {
		return fault.LockLost.Temporary("%s: deleted or replaced during the start", f.Name())
	}
	return nil
}

// patience: a process that ends has lost its descriptors some time before its locks,
// and on a busy host that is long. The next look finds who has the lock then.
const patience = 2 * time.Second

// exitTimeout is patience for a machine's lock. With a load of 50 on two processors a guest
// that had ended had it for more than two seconds; who has a disc is mostly a guest that
// runs, and that is said sooner.
const exitTimeout = 10 * time.Second

// Take takes the lock at once or says who holds it. Strays of a killed kernel
// that ran as uid are ended first, and say is told of them.
func Take(f *os.File, uid int, say func(string)) error {
	until, pause := time.Now().Add(exitTimeout), 5*time.Millisecond
	for ended := 0; ended < 5 && time.Now().Before(until); {
		if done, err := try(f, unix.LOCK_EX); done {
			return err
		}
		holders, err := Find(f)
		if err != nil {
			return err
		}
		if len(holders) == 0 { // let go between the two looks
			time.Sleep(pause)
			pause = min(2*pause, 320*time.Millisecond) // a look is through all of /proc
			continue
		}
		if err := judge(f.Name(), holders, uid); err != nil {
			return err
		}
		if err := end(f, holders, uid); err != nil {
			return err
		}
		say(fmt.Sprintf("ended %s left by a killed guest kernel", Describe(holders)))
		ended++
		until = time.Now().Add(exitTimeout)
	}
	return fault.LockForeign.Temporary("%s: locked, and no process to be seen that holds it (another host, or a container?)", f.Name())
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
				return &Held{name, o.PID, "the guest runs or is being started", true, fault.LockHeld}
			}
		}
		if h.Taker < nobody {
			return &Held{Path: name, PID: h.PID, Why: "whose lock names no process (another host's?)", ID: fault.LockForeign}
		}
	}
	for _, h := range holders {
		if !h.runsAs(uid) {
			return &Held{Path: name, PID: h.PID, Why: "which is no stray of this machine's user", ID: fault.LockForeign}
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
