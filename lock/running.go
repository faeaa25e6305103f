package lock

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/handle"
)

// Alone makes sure that no process runs as uid in a jail, though the machine's
// lock is free: a lock file may have been deleted, and who inherits a lock can let
// it go (flock(2), LOCK_UN), so a kernel that was broken out of could make room for
// a second one. A process of the same user in our own mount namespace is none of a
// guest's.
//
// It takes one system call where nothing runs as uid, which is before every start.
// Else every process of one list of all must have been looked at: one that always
// takes a new pid is in each list, and gone or dead when its turn comes.
func Alone(name string, uid int) error {
	known := map[int]bool{}
	for try := 0; ; try++ {
		pid, whole, err := jailed(uid, known)
		if err != nil || whole && pid == 0 {
			return err
		}
		if try < 50 { // one that is ending has closed its files already
			time.Sleep(10 * time.Millisecond)
			continue
		}
		if pid == 0 {
			return fault.RunsUnlocked.Temporary("%s: is free, but what runs as user %d comes and goes, and cannot be looked at (end it)", name, uid)
		}
		return fault.RunsUnlocked.Temporary("%s: is free, but process %d runs in a jail as this machine's user: a guest that let its lock go or whose lock file was deleted, or another machine's (end it)", name, pid)
	}
}

// jailed is a process of uid in another mount namespace than ours, 0 if none was
// seen; whole says that all were. Those in known are none and are not looked at
// again: so few are left that a look ends before they do, however busy the host. Of
// them, false is one that was dead when it was looked at, perhaps not when listed.
func jailed(uid int, known map[int]bool) (found int, whole bool, err error) {
	_, err = unix.Getpriority(unix.PRIO_USER, uid)
	if errors.Is(err, unix.ESRCH) {
		return 0, true, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("look for processes of user %d: %w", uid, err)
	}
	ours, err := os.Readlink("/proc/thread-self/ns/mnt")
	if err != nil {
		return 0, false, err
	}
	whole = true
	there := map[int]bool{}
	err = eachProcess(func(pid int) error {
		there[pid] = true
		if known[pid] {
			return nil
		}
		what, err := judgeProcess(pid, uid, ours)
		switch {
		case err != nil:
			whole = whole && !gone(err)
		case what == innocent:
			known[pid] = true
		case what == dead:
			_, before := known[pid]
			known[pid] = before
			whole = whole && before
		case found == 0:
			found = pid // the kernel comes before its children
		}
		return err
	})
	maps.DeleteFunc(known, func(pid int, _ bool) bool { return !there[pid] })
	return found, whole, err
}

type verdict int

const (
	innocent  verdict = iota // not the user's, or in our own mount namespace
	dead                     // the user's, and nobody has waited for it
	suspected                // the user's, elsewhere
)

func judgeProcess(pid, uid int, ours string) (verdict, error) {
	dir := "/proc/" + strconv.Itoa(pid)
	status, err := handle.ReadProc(dir + "/status")
	if err != nil || handle.UIDs(status)[0] != uid {
		return innocent, err
	}
	theirs, err := os.Readlink(dir + "/ns/mnt")
	if errors.Is(err, unix.EACCES) { // said of one that is gone, too (fs/proc/namespaces.c)
		if _, is := os.Stat(dir); is != nil {
			err = is
		}
	}
	switch {
	case err == nil && theirs == ours:
		return innocent, nil
	case err == nil, gone(err) && threads(status) > 1: // the first thread has ended
		return suspected, nil
	case !gone(err): // not as a permission, which eachProcess forgives
		return suspected, fmt.Errorf("look at process %d of user %d (is CAP_SYS_PTRACE missing?): %v", pid, uid, err)
	case bytes.Contains(status, []byte("\nState:\tZ")):
		return dead, nil
	}
	return dead, err
}

// threads reads the Threads line of /proc/PID/status; 0 if there is none.
func threads(status []byte) (n int) {
	for line := range bytes.Lines(status) {
		if rest, ok := bytes.CutPrefix(line, []byte("Threads:")); ok {
			n, _ = strconv.Atoi(string(bytes.TrimSpace(rest)))
		}
	}
	return n
}
