package lock

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/handle"
)

// A Holder is a process that has a descriptor with a lock on a file.
type Holder struct {
	PID   int
	Taker int    // the process that took the lock, as the lock still names it, or nobody
	UIDs  [4]int // real, effective, saved, filesystem
}

// nobody is the taker, for who looks from a container, when the kernel has forgotten
// the process: it is dead, and so is all of its session. The process that waits for
// sizes of a guest's terminal has a session of its own and stays
// (arch/um/drivers/chan_user.c, winch_thread). A live taker in an outer pid namespace
// is nobody too; it has no children in here that run as the machine's user, and
// holds the lock, whoever is ended.
const nobody = 0

func (h Holder) runsAs(uid int) bool {
	return uid != 0 && h.UIDs == [4]int{uid, uid, uid, uid}
}

// root: what it can do to a file is not told by the file's mode.
func (h Holder) root() bool { return slices.Contains(h.UIDs[:], 0) }

// Find lists the processes that hold a flock on f, but this one. It reads
// /proc/PID/fdinfo: /proc/locks would name a process that is long dead, and
// says nothing of those that inherited its descriptor.
func Find(f *os.File) ([]Holder, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, fmt.Errorf("stat %s: %w", f.Name(), err)
	}
	var holders []Holder
	var a allowance
	err := eachProcess(func(pid int) error {
		h, found, err := holds(pid, &st, &a)
		if found {
			holders = append(holders, h)
		}
		return err
	})
	return holders, err
}

// eachProcess calls do for every process but this one, until one cannot be looked
// at: the kernel of a guest that runs may be the one that was not seen, and its
// children would be taken for strays. One that is gone meanwhile is no error, nor
// one that even root may not look at (in a container, its first process): guests
// have no rights that we lack.
func eachProcess(do func(pid int) error) error {
	proc, err := os.Open("/proc")
	if err != nil {
		return err
	}
	defer proc.Close()
	names, err := proc.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, n := range names {
		pid, err := strconv.Atoi(n)
		if err != nil || pid == os.Getpid() {
			continue
		}
		if err := do(pid); err != nil && !gone(err) && !errors.Is(err, fs.ErrPermission) {
			return err
		}
	}
	return nil
}

// gone is what the kernel says of a process or descriptor that is not there any
// more (proc(5)).
func gone(err error) bool { return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) }

// holds looks through one process's descriptors.
func holds(pid int, st *unix.Stat_t, a *allowance) (h Holder, found bool, err error) {
	err = eachLocked(pid, &file{st.Dev, st.Ino}, a, func(_ file, taker int) error {
		status, err := handle.ReadProc("/proc/" + strconv.Itoa(pid) + "/status")
		if err != nil {
			return err
		}
		h, found = Holder{pid, taker, handle.UIDs(status)}, true
		return errEnough
	})
	if found {
		return h, true, nil
	}
	return h, false, err
}

// errEnough ends eachLocked.
var errEnough = errors.New("enough")

// eachLocked calls do for each of a process's descriptors that has a flock, of that file
// alone if one is wanted, until it returns an error other than that one is gone. The lock
// line's device is the filesystem's, which need not be what stat says (btrfs, overlayfs):
// so the file itself is asked.
func eachLocked(pid int, wanted *file, a *allowance, do func(id file, taker int) error) error {
	dir := "/proc/" + strconv.Itoa(pid)
	infos, err := os.Open(dir + "/fdinfo")
	if err != nil {
		return err
	}
	defer infos.Close()
	fds, err := infos.Readdirnames(-1) // in their order: a lock is among the first
	if err != nil {
		return err
	}
	r := reader{a, pid, -1}
	for _, fd := range fds {
		if err := r.ifLocked(dir, fd, wanted, do); err != nil && !gone(err) {
			return err
		}
	}
	return nil
}

func (r *reader) ifLocked(dir, fd string, wanted *file, do func(id file, taker int) error) error {
	var id file
	if over := r.over(); wanted != nil || over {
		st, err := handle.Known(path.Join(dir, "fd", fd))
		// One that root may not look at is in an account's own filesystem (FUSE).
		if id = (file{st.Dev, st.Ino}); err != nil || wanted != nil && id != *wanted {
			return nil
		}
		if over {
			return do(id, r.pid)
		}
	}
	begun := time.Now()
	info, err := handle.HeadProc(path.Join(dir, "fdinfo", fd))
	r.spent(time.Since(begun))
	if err != nil {
		return err
	}
	taker, inode, ok := flockTaker(info)
	if !ok {
		return nil
	}
	if wanted == nil {
		st, err := handle.Known(path.Join(dir, "fd", fd))
		if id = (file{st.Dev, st.Ino}); err != nil {
			return nil
		}
	}
	if id[1] != inode {
		return nil
	}
	return do(id, taker)
}

// flockTaker finds "lock:\t1: FLOCK  ADVISORY  WRITE 359 00:13:11691 0 EOF" in the
// text of an fdinfo file (Documentation/filesystems/proc.rst): who took it, and
// the inode.
func flockTaker(info []byte) (pid int, inode uint64, ok bool) {
	for line := range bytes.Lines(info) {
		f := strings.Fields(string(line))
		if len(f) < 7 || f[0] != "lock:" || f[2] != "FLOCK" {
			continue
		}
		dev := strings.Split(f[6], ":")
		if len(dev) != 3 {
			continue
		}
		pid, err1 := strconv.Atoi(f[5])
		inode, err2 := strconv.ParseUint(dev[2], 10, 64)
		if err1 == nil && err2 == nil {
			return pid, inode, true
		}
	}
	return 0, 0, false
}

const endTimeout = 5 * time.Second

// end kills the strays and waits until they are gone. Each is held by a pidfd
// and judged once more through it, so that a recycled pid is never signalled.
func end(f *os.File, holders []Holder, uid int) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return fmt.Errorf("stat %s: %w", f.Name(), err)
	}
	var a allowance
	var fds []unix.PollFd
	var ending []Holder
	defer func() {
		for _, p := range fds {
			unix.Close(int(p.Fd))
		}
	}()
	for _, h := range holders {
		fd, err := unix.PidfdOpen(h.PID, 0)
		if err == unix.ESRCH {
			continue
		}
		if err != nil {
			return fmt.Errorf("stray process %d: pidfd_open: %w", h.PID, err)
		}
		fds = append(fds, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
		now, found, err := holds(h.PID, &st, &a)
		if err != nil && !gone(err) {
			return fmt.Errorf("stray process %d: %w", h.PID, err)
		}
		if !found || now.Taker != h.Taker && now.Taker != nobody || !now.runsAs(uid) {
			fds = fds[:len(fds)-1]
			unix.Close(fd)
			continue
		}
		ending = append(ending, h)
		if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && err != unix.ESRCH {
			return fmt.Errorf("stray process %d: kill: %w", h.PID, err)
		}
	}
	return await(f.Name(), ending, fds)
}

// await waits for each of the holders by its pidfd.
func await(name string, holders []Holder, fds []unix.PollFd) error {
	deadline := time.Now().Add(endTimeout)
	for i := range fds {
		for {
			n, err := unix.Poll(fds[i:i+1], int(max(0, time.Until(deadline).Milliseconds())))
			if err == unix.EINTR {
				continue
			}
			if err != nil {
				return fmt.Errorf("wait for a stray process: %w", err)
			}
			if n == 0 {
				return fault.StraysStay.Temporary("%s: held by %s of a killed guest kernel, which was killed too and does not end (state D or t in ps?)", name, Describe(holders[i:i+1]))
			}
			break
		}
	}
	return nil
}
