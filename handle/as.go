package handle

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// As runs do with the filesystem rights of an ordinary user, so that what it
// opens or makes is judged and owned as that user's: setfsuid(2) takes the
// capabilities that pass over permissions away with it. The calls are raw,
// since only this thread changes; the rest of the program stays root.
func As(uid, gid int, do func() error) (err error) {
	runtime.LockOSThread()
	groups, err := unix.Getgroups()
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("getgroups: %w", err)
	}
	defer func() {
		if back := become(0, 0, groups); back != nil {
			err = errors.Join(err, back) // and the thread stays locked: no other work runs on it
			return
		}
		runtime.UnlockOSThread()
	}()
	if err := become(uid, gid, nil); err != nil {
		return err
	}
	return do()
}

// become sets the thread's filesystem ids. setfsuid tells no error: asking again
// for an id that is none shows what holds now. The user's id goes last on the
// way down and first on the way up, when the group may be changed again.
func become(uid, gid int, groups []int) error {
	if uid == 0 {
		setfs(unix.SYS_SETFSUID, uid)
	}
	list := make([]uint32, len(groups)+1)
	for i, g := range groups {
		list[i] = uint32(g)
	}
	if _, _, e := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(unsafe.Pointer(&list[0])), 0); e != 0 {
		return fmt.Errorf("cannot take on an ordinary user's rights (setgroups: %w; is this root without CAP_SETGID?)", e)
	}
	if setfs(unix.SYS_SETFSGID, gid) != gid || setfs(unix.SYS_SETFSUID, uid) != uid {
		return fmt.Errorf("cannot take the filesystem rights of user %d, group %d", uid, gid)
	}
	return nil
}

func setfs(call uintptr, id int) int {
	unix.RawSyscall(call, uintptr(id), 0, 0)
	now, _, _ := unix.RawSyscall(call, ^uintptr(0), 0, 0)
	return int(int32(now))
}
