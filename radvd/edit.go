package radvd

import (
	"context"
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// errEdited: the file is no longer what was read.
var errEdited = errors.New("was changed meanwhile")

// same says whether the file is the one that was read, unchanged: errEdited if not.
func (f *file) same() error {
	var st unix.Stat_t
	err := unix.Lstat(f.name, &st)
	is := err != unix.ENOENT
	if is && err != nil {
		return &os.PathError{Op: "stat", Path: f.name, Err: err}
	}
	if is != f.is || is && (st.Dev != f.stat.Dev || st.Ino != f.stat.Ino || st.Size != f.stat.Size ||
		st.Mtim != f.stat.Mtim || st.Ctim != f.stat.Ctim) {
		return errEdited
	}
	return nil
}

// still is how long a file has to have stood still. Many an editor empties a file
// and then writes it: whoever looks between the two would take the nothing that he
// finds for what the administrator wants.
var still = 2 * time.Second

// rest waits until a file that is empty, or was written just now, has stood still.
// What we write is dated back by as much, so that no run waits for the one before.
func (f *file) rest(ctx context.Context) error {
	if !f.is {
		return nil
	}
	age := time.Since(time.Unix(f.stat.Mtim.Unix()))
	if f.stat.Size > 0 && (age < 0 || age >= still) { // before 0: by a clock that was set back
		return nil
	}
	for end := time.Now().Add(still); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := f.same(); err != nil {
			return err
		}
	}
	return nil
}
