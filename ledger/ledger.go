// Package ledger keeps what RAM the guests of a host were promised, so that a start can
// tell whether there is as much (paper 2.2.1). A guest's RAM is given to it as it touches
// it: that the host has too little would show only when all have taken theirs.
//
// A promise is bound to the process that made it, which becomes the guest's kernel: it
// ends with that process, whatever ended it. A guest can neither let its promise go nor
// make another: it inherits nothing of the ledger.
//
// The sums stand in the file, so that a promise costs the same for any number of
// guests. They count guests that have ended too, until one more promise would go beyond
// what may be promised: then every guest's process is looked at.
//
// Not promised: that strays of a killed kernel, which hold its RAM until its next start
// ends them, are counted; nor that those are who look from another pid namespace.
package ledger

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/process"
	"uml/settings"
)

// File is the host's ledger. It is gone when the host is booted, as the guests are.
const File = "/run/uml-run.ledger"

// Sums are what was promised.
type Sums struct {
	Guests int // 0 where they were not counted
	All    settings.Size
	Locked settings.Size // part of All that must not be swapped out
}

func (s Sums) plus(e entry) Sums {
	s.All += settings.Size(e.Size)
	if e.Locked {
		s.Locked += settings.Size(e.Size)
	}
	return s
}

func (s Sums) less(e entry) Sums {
	e.Size = -e.Size
	return s.plus(e)
}

// A Promise is the RAM that the guest of this process may take.
type Promise struct {
	User   int // the guest's account, which has no other guest
	Size   settings.Size
	Locked bool // none of it may be swapped out

	f    *os.File
	made entry
}

// The file: All and Locked, then from entriesAt on an entry for each user by his number.
// It is as sparse as the numbers are.
type entry struct {
	Size   int64
	Start  uint64 // of the process, in ticks since the boot
	PID    int32  // 0: there is none
	Locked bool
	_      [11]byte
}

const (
	entriesAt = 4096
	entrySize = 32
)

func at(user int) int64 { return entriesAt + int64(user)*entrySize }

// Make writes the promise down if the sums with it are within most; else it says what
// the other guests that run were promised. The ledger file is made if it is not there.
func (p *Promise) Make(name string, most Sums) (others Sums, fits bool, err error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return Sums{}, false, err
	}
	others, fits, err = p.enter(f, most)
	if err != nil {
		err = fmt.Errorf("%s: %w", name, err)
	}
	if err != nil || !fits {
		f.Close()
		return others, fits, err
	}
	p.f = f
	return others, true, nil
}

func (p *Promise) enter(f *os.File, most Sums) (others Sums, fits bool, err error) {
	self, err := process.Self()
	if err != nil {
		return Sums{}, false, err
	}
	p.made = entry{Size: int64(p.Size), Start: self.Start, PID: int32(self.PID), Locked: p.Locked}
	if err := lock(f); err != nil {
		return Sums{}, false, err
	}
	defer unlock(f)
	now, err := readSums(f)
	if err != nil {
		return Sums{}, false, err
	}
	var old entry
	if err := get(f, at(p.User), &old); err != nil {
		return Sums{}, false, err
	}
	others = now.less(old)
	if !p.Within(others, most) {
		if others, err = sweep(f, p.User); err != nil || !p.Within(others, most) {
			return others, false, err
		}
	}
	// Who is killed in between leaves sums that are too large, which the next look at
	// all guests mends.
	return others, true, errors.Join(
		writeSums(f, others.plus(old).plus(p.made)), put(f, at(p.User), p.made), writeSums(f, others.plus(p.made)))
}

// Within says whether there is room for the promise beside the others.
func (p *Promise) Within(others, most Sums) bool {
	fits := func(other, most settings.Size) bool { return 0 <= other && other <= most-p.Size } // damaged, they may be anything
	return fits(others.All, most.All) && (!p.Locked || fits(others.Locked, most.Locked))
}

// Close takes the promise back, if it was made. It needs nothing but the open file: the
// thread may be in the jail.
func (p *Promise) Close() error {
	if p.f == nil {
		return nil
	}
	defer func() { p.f.Close(); p.f = nil }()
	if err := lock(p.f); err != nil {
		return err
	}
	defer unlock(p.f)
	var is entry
	if err := get(p.f, at(p.User), &is); err != nil || is != p.made {
		return err
	}
	now, err := readSums(p.f)
	if err != nil {
		return err
	}
	return errors.Join(put(p.f, at(p.User), entry{}), writeSums(p.f, now.less(is)))
}

// patience: the ledger is held for some microseconds, or for a look at all guests.
const patience = 5 * time.Second

func lock(f *os.File) error {
	for until := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("lock: %w", err)
		}
		if time.Now().After(until) {
			return fault.Busy.Temporary("another start holds it for more than %v", patience)
		}
	}
}

func unlock(f *os.File) { unix.Flock(int(f.Fd()), unix.LOCK_UN) }

func readSums(f *os.File) (Sums, error) {
	var two [2]settings.Size
	err := get(f, 0, &two)
	return Sums{All: two[0], Locked: two[1]}, err
}

func writeSums(f *os.File, s Sums) error { return put(f, 0, [2]settings.Size{s.All, s.Locked}) }

// get reads zeros where nothing was written.
func get(f *os.File, at int64, into any) error {
	b := make([]byte, binary.Size(into))
	if n, err := f.ReadAt(b, at); err != nil && err != io.EOF {
		return fmt.Errorf("read %d bytes after %d: %w", n, at, err)
	}
	return binary.Read(bytes.NewReader(b), binary.LittleEndian, into)
}

func put(f *os.File, at int64, what any) error {
	var b bytes.Buffer
	if err := binary.Write(&b, binary.LittleEndian, what); err != nil {
		return err
	}
	_, err := f.WriteAt(b.Bytes(), at)
	return err
}
