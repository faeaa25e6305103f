package lock

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"uml/handle"
)

// Taker is the process that took the machine's lock and still has it: the guest's
// kernel, or a start under way; nil if there is none. It looks at that process
// alone: /proc/locks says which it is, though not whether it lives.
func Taker(dir *handle.Dir) (*Holder, error) {
	f, err := dir.Open(Name)
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := judgeFile(&f.Stat, f.Path); err != nil {
		return nil, err
	}
	locks, err := os.ReadFile("/proc/locks")
	if err != nil {
		return nil, fmt.Errorf("look for who holds %s: %w", f.Path, err)
	}
	for line := range bytes.Lines(locks) {
		pid, inode, ok := flockTaker(append([]byte("lock: "), line...))
		if !ok || inode != f.Stat.Ino || pid <= 0 {
			continue
		}
		h, found, err := holds(pid, &f.Stat)
		if err != nil && !gone(err) {
			return nil, fmt.Errorf("look whether process %d holds %s: %w", pid, f.Path, err)
		}
		if found && h.Taker == pid {
			return &h, nil
		}
	}
	return nil, nil
}

// User is the account that a process of a guest runs as; 0 if it is none: root's,
// or of more than one user.
func (h Holder) User() int {
	if uid := h.UIDs[0]; h.runsAs(uid) {
		return uid
	}
	return 0
}
