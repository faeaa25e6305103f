package lock

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"uml/handle"
)

// A Table says which processes took each lock of this host, by the inode of its
// file, as /proc/locks has it: not whether they live.
type Table map[uint64][]int

// ReadTable is one look for all machines.
func ReadTable() (Table, error) {
	locks, err := os.ReadFile("/proc/locks")
	if err != nil {
		return nil, err
	}
	t := Table{}
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
// alone: /proc/locks says which it is, though not whether it lives.
func Taker(dir *handle.Dir) (*Holder, error) {
	t, err := ReadTable()
	if err != nil {
		return nil, fmt.Errorf("look for who holds %s: %w", dir.Join(Name), err)
	}
	return t.Taker(dir, 0)
}

// Taker is Taker by the table. A process that is known to live and that the table
// names is believed to have the lock still, and not looked at: it is likely, that
// is a supervisor's.
func (t Table) Taker(dir *handle.Dir, likely int) (*Holder, error) {
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
	if likely > 0 && slices.Contains(t[f.Stat.Ino], likely) {
		return &Holder{PID: likely, Taker: likely}, nil
	}
	for _, pid := range t[f.Stat.Ino] {
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

// Taken says whether somebody took the machine's lock, who may be dead by now and
// have left it to others.
func (t Table) Taken(dir *handle.Dir) bool {
	f, err := dir.Open(Name)
	if err != nil {
		return false
	}
	defer f.Close()
	return len(t[f.Stat.Ino]) > 0
}

// User is the account that a process of a guest runs as; 0 if it is none: root's,
// or of more than one user.
func (h Holder) User() int {
	if uid := h.UIDs[0]; h.runsAs(uid) {
		return uid
	}
	return 0
}
