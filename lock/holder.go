package lock

import (
	"bytes"
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"uml/fault"
)

// A Holder is a process that has a descriptor with a lock on a file.
type Holder struct {
	PID   int
	Taker int    // the process that took the lock, as the lock still names it
	UIDs  [4]int // real, effective, saved, filesystem
}

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
	err := eachProcess(func(pid int) {
		if h, ok := holds(pid, &st); ok {
			holders = append(holders, h)
		}
	})
	return holders, err
}

// eachProcess calls do for every process but this one.
func eachProcess(do func(pid int)) error {
	proc, err := os.Open("/proc")
	if err != nil {
		return err
	}
	defer proc.Close()
	names, err := proc.Readdirnames(-1)
	for _, n := range names {
		if pid, err := strconv.Atoi(n); err == nil && pid != os.Getpid() {
			do(pid)
		}
	}
	return err
}

// holds looks through one process's descriptors. One that is gone meanwhile, or
// whose descriptors are, holds nothing.
func holds(pid int, file *unix.Stat_t) (h Holder, found bool) {
	eachLocked(pid, func(st *unix.Stat_t, taker int) bool {
		if st.Dev != file.Dev || st.Ino != file.Ino {
			return true
		}
		status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
		h, found = Holder{pid, taker, uids(status)}, err == nil
		return !found
	})
	return h, found
}

// eachLocked calls do for each of a process's descriptors that has a flock, until
// it says no. The lock line's device is the filesystem's, which need not be what
// stat says (btrfs, overlayfs): so the file itself is asked.
func eachLocked(pid int, do func(st *unix.Stat_t, taker int) bool) {
	dir := "/proc/" + strconv.Itoa(pid)
	fds, err := os.ReadDir(dir + "/fdinfo")
	if err != nil {
		return
	}
	for _, fd := range fds {
		info, err := os.ReadFile(path.Join(dir, "fdinfo", fd.Name()))
		if err != nil {
			continue
		}
		taker, inode, ok := flockTaker(info)
		if !ok {
			continue
		}
		var st unix.Stat_t
		if unix.Stat(path.Join(dir, "fd", fd.Name()), &st) != nil || st.Ino != inode {
			continue
		}
		if !do(&st, taker) {
			return
		}
	}
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

// uids reads the Uid line of /proc/PID/status; all -1 if there is none.
func uids(status []byte) [4]int {
	ids := [4]int{-1, -1, -1, -1}
	for line := range bytes.Lines(status) {
		f := strings.Fields(string(line))
		if len(f) != 5 || f[0] != "Uid:" {
			continue
		}
		for i, s := range f[1:] {
			if n, err := strconv.Atoi(s); err == nil {
				ids[i] = n
			}
		}
	}
	return ids
}

const endTimeout = 5 * time.Second

// end kills the strays and waits until they are gone. Each is held by a pidfd
// and judged once more through it, so that a recycled pid is never signalled.
func end(f *os.File, holders []Holder, uid int) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return fmt.Errorf("stat %s: %w", f.Name(), err)
	}
	var fds []unix.PollFd
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
		if now, ok := holds(h.PID, &st); !ok || now.Taker != h.Taker || !now.runsAs(uid) {
			fds = fds[:len(fds)-1]
			unix.Close(fd)
			continue
		}
		if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && err != unix.ESRCH {
			return fmt.Errorf("stray process %d: kill: %w", h.PID, err)
		}
	}
	return await(f.Name(), fds)
}

func await(name string, fds []unix.PollFd) error {
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
				return fault.Temporary("%s: a stray of a killed guest kernel holds it and does not end (state D in ps?)", name)
			}
			break
		}
	}
	return nil
}
