package lock

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"uml/handle"
)

// A Table says which processes took each lock of this host, by the inode of its
// file, as /proc/locks has it: not whether they live. It is one look for all
// machines, and none where none has a lock file: before the kernel prints a line it
// waits until no processor is in the middle of a lock (fs/locks.c, locks_start:
// percpu_down_write), which takes 10 ms on a quiet host and holds up whoever locks
// meanwhile.
type Table struct {
	read func() (map[uint64][]int, error)
}

// NewTable is a table that is read when it is needed.
func NewTable() *Table { return &Table{sync.OnceValues(readTable)} }

func readTable() (map[uint64][]int, error) {
	locks, err := handle.ReadProc("/proc/locks")
	if err != nil {
		return nil, err
	}
	t := map[uint64][]int{}
	for line := range bytes.Lines(locks) {
		pid, inode, ok := flockTaker(append([]byte("lock: "), line...))
		if ok && pid > 0 {
			t[inode] = append(t[inode], pid)
		}
	}
	return t, nil
}

// Taker is the process that took the machine's lock and still has it: the guest's
// kernel, or a start under way; nil if there is none. It looks at that process
// alone: what it left in the lock file says which it is, else /proc/locks, though not
// whether it lives.
func Taker(dir *handle.Dir) (*Holder, error) {
	st, err := dir.Lstat(Name)
	if pid := Read(dir).PID; err == nil && pid > 0 {
		if h, found, err := holds(pid, &st, new(allowance)); err == nil && found && h.Taker == pid {
			return &h, nil
		}
	}
	h, _, err := NewTable().Taker(dir, 0)
	return h, err
}

// Taker is Taker by the table. A process that is known to live and that the table
// names is believed to have the lock still, and not looked at: it is likely, that
// is a supervisor's. Where there is none, taken says whether somebody took the lock
// who may be dead by now and have left it to others.
func (t *Table) Taker(dir *handle.Dir, likely int) (taker *Holder, taken bool, err error) {
	st, err := dir.Lstat(Name)
	if errors.Is(err, unix.ENOENT) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	name := dir.Join(Name)
	if err := judgeFile(&st, name); err != nil {
		return nil, false, err
	}
	all, err := t.read()
	if err != nil {
		return nil, false, fmt.Errorf("look for who holds %s: %w", name, err)
	}
	pids := all[st.Ino]
	if likely > 0 && slices.Contains(pids, likely) {
		return &Holder{PID: likely, Taker: likely}, true, nil
	}
	for _, pid := range pids {
		h, found, err := holds(pid, &st, new(allowance))
		if err != nil && !gone(err) {
			return nil, true, fmt.Errorf("look whether process %d holds %s: %w", pid, name, err)
		}
		if found && h.Taker == pid {
			return &h, true, nil
		}
	}
	return nil, len(pids) > 0, nil
}

// User is the account that a process of a guest runs as; 0 if it is none: root's,
// or of more than one user.
func (h Holder) User() int {
	if uid := h.UIDs[0]; h.runsAs(uid) {
		return uid
	}
	return 0
}
