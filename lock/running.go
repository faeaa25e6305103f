package lock

import (
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
func Alone(name string, uid int) error {
	for range 20 {
		pid, err := jailed(uid)
		if err != nil || pid == 0 {
			return err
		}
		time.Sleep(10 * time.Millisecond) // one that is ending has closed its files already
	}
	pid, err := jailed(uid)
	if err != nil || pid == 0 {
		return err
	}
	return fault.Temporary("%s: is free, but process %d runs in a jail as this machine's user: a guest that let its lock go or whose lock file was deleted, or another machine's (end it)", name, pid)
}

// jailed is a process of uid in another mount namespace than ours; 0: none.
func jailed(uid int) (found int, err error) {
	_, err = unix.Getpriority(unix.PRIO_USER, uid)
	if errors.Is(err, unix.ESRCH) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("look for processes of user %d: %w", uid, err)
	}
	ours, err := os.Readlink("/proc/thread-self/ns/mnt")
	if err != nil {
		return 0, err
	}
	err = eachProcess(func(pid int) error {
		dir := "/proc/" + strconv.Itoa(pid)
		status, err := os.ReadFile(dir + "/status")
		if err != nil || !(Holder{UIDs: uids(status)}).runsAs(uid) {
			return err
		}
		theirs, err := os.Readlink(dir + "/ns/mnt")
		if err == nil && theirs != ours && found == 0 {
			found = pid // the kernel comes before its children
		}
		return err
	})
	return found, err
}
