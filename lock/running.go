package lock

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"uml/fault"
)

// Alone makes sure that no process runs as uid in a jail, though the machine's
// lock is free: a lock file may have been deleted, and who inherits a lock can let
// it go (flock(2), LOCK_UN), so a kernel that was broken out of could make room for
// a second one. A process of the same user in our own mount namespace is none of a
// guest's.
//
// It takes one system call where nothing runs as uid, which is before every start.
// Else all of the user's processes must be seen in one look during which no process
// of the host began or ended: one that always takes a new pid hides from others.
func Alone(name string, uid int) error {
	for try := 0; ; try++ {
		c, err := crowdOf(uid)
		if err != nil || c.empty() {
			return err
		}
		if try < 50 { // one that is ending has closed its files already
			time.Sleep(10 * time.Millisecond)
			continue
		}
		if c.jailed == 0 {
			return fault.Temporary("%s: is free, but what runs as user %d comes and goes, and cannot be looked at (end it)", name, uid)
		}
		return fault.Temporary("%s: is free, but process %d runs in a jail as this machine's user: a guest that let its lock go or whose lock file was deleted, or another machine's (end it)", name, c.jailed)
	}
}

// A crowd is what runs as a user.
type crowd struct {
	there  bool // somebody does
	seen   bool // in our own mount namespace, or dead
	lost   bool // processes began or ended meanwhile
	jailed int  // a process in another mount namespace; 0: none
}

func (c crowd) empty() bool { return !c.there || c.seen && !c.lost && c.jailed == 0 }

func crowdOf(uid int) (c crowd, err error) {
	_, err = unix.Getpriority(unix.PRIO_USER, uid)
	if errors.Is(err, unix.ESRCH) {
		return c, nil
	}
	if err != nil {
		return c, fmt.Errorf("look for processes of user %d: %w", uid, err)
	}
	c.there = true
	before, err := lastPID()
	if err != nil {
		return c, err
	}
	ours, err := os.Readlink("/proc/thread-self/ns/mnt")
	if err != nil {
		return c, err
	}
	err = eachProcess(func(pid int) error {
		dir := "/proc/" + strconv.Itoa(pid)
		status, err := os.ReadFile(dir + "/status")
		c.lost = c.lost || err != nil && gone(err)
		if err != nil || uids(status)[0] != uid {
			return err
		}
		theirs, err := os.Readlink(dir + "/ns/mnt")
		switch {
		case err == nil && theirs == ours:
			c.seen = true
		case err == nil:
			c.jail(pid) // the kernel comes before its children
		case !gone(err): // not as a permission, which eachProcess forgives
			return fmt.Errorf("look at process %d of user %d (is CAP_SYS_PTRACE missing?): %v", pid, uid, err)
		case bytes.Contains(status, []byte("\nState:\tZ")) && threads(status) <= 1:
			c.seen = true // nobody has waited for it
		case threads(status) > 1: // its first thread has ended
			c.jail(pid)
		default:
			c.lost = true
		}
		return nil
	})
	after, err2 := lastPID()
	c.lost = c.lost || before != after
	return c, errors.Join(err, err2)
}

// lastPID is the newest of the pid namespace (proc_loadavg(5)).
func lastPID() (string, error) {
	text, err := os.ReadFile("/proc/loadavg")
	return string(text[bytes.LastIndexByte(text, ' ')+1:]), err
}

func (c *crowd) jail(pid int) {
	if c.jailed == 0 {
		c.jailed = pid
	}
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
