package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// Each living lab has a number of its own, and with it accounts that no other
// has: RLIMIT_NPROC counts a user's processes over all namespaces.
const (
	maxLabs    = 400
	firstUID   = 200000
	uidsPerLab = 100
)

// claim takes the lowest free number and its directory, empty. A number is taken
// while somebody holds its lock; a directory whose lock nobody holds was left by
// a lab that was killed.
func claim() (number int, dir string, lock *os.File, err error) {
	base := filepath.Join(os.TempDir(), "uml-lab")
	if err := os.MkdirAll(base, 0o755); err != nil {
		return 0, "", nil, err
	}
	for number := range maxLabs {
		dir := filepath.Join(base, strconv.Itoa(number))
		lock, err := tryLock(dir + ".lock")
		if err != nil {
			return 0, "", nil, err
		}
		if lock == nil {
			continue
		}
		if err := os.RemoveAll(dir); err != nil {
			return 0, "", nil, err
		}
		sweep(base, number+1)
		return number, dir, lock, os.Mkdir(dir, 0o755)
	}
	return 0, "", nil, fmt.Errorf("%d labs are alive", maxLabs)
}

// tryLock is nil without an error if somebody else has it. The lock files stay:
// removing one would let two labs hold two files of one name.
func tryLock(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if err == unix.EWOULDBLOCK {
			return nil, nil
		}
		return nil, err
	}
	return f, nil
}

// sweep removes what killed labs with numbers from first on have left. It is no
// fault of this lab if that fails: the next one tries again.
func sweep(base string, first int) {
	for number := first; number < maxLabs; number++ {
		dir := filepath.Join(base, strconv.Itoa(number))
		if _, err := os.Lstat(dir); err != nil {
			continue
		}
		if lock, err := tryLock(dir + ".lock"); err == nil && lock != nil {
			os.RemoveAll(dir)
			lock.Close()
		}
	}
}
