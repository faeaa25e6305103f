package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"uml/process"
)

// A Standing is what guests that run were promised, by their users.
type Standing map[int]entry

// Look changes nothing.
func Look(name string) (Standing, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	all, _, err := each(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return all, nil
}

const nobody = -1

// But is the sum of all but the one of user.
func (s Standing) But(user int) (sums Sums) {
	for of, e := range s {
		if of != user {
			sums = sums.plus(e)
			sums.Guests++
		}
	}
	return sums
}

// sweep is Look for who has the ledger locked: promises that have ended go out of it, and
// the sums are made anew.
func sweep(f *os.File, user int) (Sums, error) {
	all, ended, err := each(f)
	for _, of := range ended {
		err = errors.Join(err, put(f, at(of), entry{}))
	}
	if err == nil {
		err = writeSums(f, all.But(nobody))
	}
	return all.But(user), err
}

// each finds whose promises stand and whose have ended. Of the file it reads what was
// written (lseek(2), SEEK_DATA).
func each(f *os.File) (all Standing, ended []int, err error) {
	all = Standing{}
	page := make([]byte, 64<<10)
	for pos := int64(entriesAt); ; {
		pos, err = unix.Seek(int(f.Fd()), pos, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) { // nothing more
			return all, ended, nil
		}
		if err != nil {
			return nil, nil, fmt.Errorf("look for promises: %w", err)
		}
		pos -= (pos - entriesAt) % entrySize
		n, err := f.ReadAt(page, pos)
		if err != nil && err != io.EOF {
			return nil, nil, err
		}
		for b := page[:n]; len(b) >= entrySize; b = b[entrySize:] {
			var e entry
			if _, err := binary.Decode(b, binary.LittleEndian, &e); err != nil {
				return nil, nil, err
			}
			user := int((pos - entriesAt) / entrySize)
			pos += entrySize
			if e.PID == 0 {
				continue
			}
			lives, err := e.lives()
			switch {
			case err != nil:
				return nil, nil, err
			case lives:
				all[user] = e
			default:
				ended = append(ended, user)
			}
		}
		pos += int64(n % entrySize)
	}
}

func (e entry) lives() (bool, error) {
	p, err := process.Look(int(e.PID))
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) {
		return false, nil
	}
	return p.Start == e.Start, err
}
