package lock

import (
	"fmt"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/handle"
)

// EndInside ends all processes of uid whose root is the one given, a jail's, whether
// they hold its lock or not: a kernel that was broken out of can have let it go, and
// have children. Each is held by a pidfd and judged once more.
func EndInside(root *unix.Stat_t, uid int) error {
	for until := time.Now().Add(endTimeout); ; time.Sleep(10 * time.Millisecond) {
		left := 0
		err := eachProcess(func(pid int) error {
			if !inside(pid, root, uid) {
				return nil
			}
			fd, err := unix.PidfdOpen(pid, 0)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			if !inside(pid, root, uid) {
				return nil
			}
			left++
			return unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
		})
		if err != nil {
			return fmt.Errorf("end what is left in a jail: %w", err)
		}
		if left == 0 {
			return nil
		}
		if time.Now().After(until) {
			return fault.StraysStay.Temporary("%d processes of user %d in the guest's jail were killed, and do not end", left, uid)
		}
	}
}

func inside(pid int, root *unix.Stat_t, uid int) bool {
	dir := "/proc/" + strconv.Itoa(pid)
	status, err := handle.ReadProc(dir + "/status")
	if err != nil || !(Holder{UIDs: handle.UIDs(status)}).runsAs(uid) {
		return false
	}
	st, err := handle.Known(dir + "/root")
	return err == nil && st.Dev == root.Dev && st.Ino == root.Ino // one that is dead has none
}
