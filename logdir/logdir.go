// Package logdir reads the directory that a guest's log is kept in by multilog, or
// by svlogd or s6-log, which keep theirs alike: a file that grows, named current,
// and finished ones, each named for when it was finished.
//
// The directory belongs to the account of the logger, which is trusted with no
// more than to write it: links in it are not followed, and nothing in it is waited
// for. What it says is the guest's word.
package logdir

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/handle"
)

const (
	current  = "current"
	previous = "previous" // multilog's, of a file on its way from current to its last name
	maxFiles = 10000
)

// What Of can find instead of a log.
var (
	ErrNone  = errors.New("no log is kept")
	ErrEmpty = errors.New("nothing was logged yet")
)

// Of is where the machine's log is: the directory below log/ of its machine
// directory that was written last, or log/ itself.
func Of(machine string) (string, error) {
	at := machine + "/log"
	entries, err := os.ReadDir(at)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fault.Permanent("%s: there is no such directory: %w (uml-machine(5) says how, --dir names another)", at, ErrNone)
	}
	if err != nil {
		return "", err
	}
	var found string
	var newest time.Time
	for _, dir := range append([]string{"."}, names(entries)...) {
		st, err := os.Lstat(at + "/" + dir + "/" + current)
		if err == nil && (found == "" || st.ModTime().After(newest)) {
			found, newest = at+"/"+dir, st.ModTime()
		}
	}
	if found == "" {
		return "", fault.Temporary("%s: no directory in it has a file %q: %w, or elsewhere (--dir)", at, current, ErrEmpty)
	}
	return strings.TrimSuffix(found, "/."), nil
}

func names(entries []os.DirEntry) (all []string) {
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

// files are the log's files at one moment.
type files struct {
	finished []string // oldest first
	current  *os.File // nil: there is none
}

// look lists the files. A file is finished by renaming it: the list is good if
// the same file was current before and after. It cannot have come back as another,
// since it is held. A file stays previous for long only if multilog hands it to a
// processor.
func look(dir *handle.Dir) (f files, err error) {
	for try := range 100 {
		f.current, err = openFile(dir, current)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return f, err
		}
		waits := exists(dir, previous) // if not, the one before current has its name
		f.finished, err = finished(dir)
		if waits && try > 50 {
			f.finished, waits = append(f.finished, previous), false
		}
		if err == nil && !waits && still(dir, f.current) {
			return f, nil
		}
		f.close()
		if err != nil {
			return f, err
		}
		time.Sleep(time.Millisecond)
	}
	return f, fault.Temporary("%s: its files are renamed again and again", dir.Path)
}

func (f files) close() {
	if f.current != nil {
		f.current.Close()
	}
}

func finished(dir *handle.Dir) ([]string, error) {
	all, err := dir.Names(maxFiles + 1)
	if err != nil {
		return nil, err
	}
	if len(all) > maxFiles {
		return nil, fault.Permanent("%s: more than %d files, not the directory of a log", dir.Path, maxFiles)
	}
	all = slices.DeleteFunc(all, func(name string) bool {
		_, kind, ok := parseStamp(name)
		return !ok || kind != ".s" && kind != ".u"
	})
	slices.Sort(all)
	return all, nil
}

// still says whether f is the current file; nil is, if there is none.
func still(dir *handle.Dir, f *os.File) bool {
	now, err := dir.Open(current)
	if err != nil {
		return f == nil && errors.Is(err, fs.ErrNotExist)
	}
	defer now.Close()
	var st unix.Stat_t
	return f != nil && unix.Fstat(int(f.Fd()), &st) == nil && now.Same(&st)
}

func exists(dir *handle.Dir, name string) bool {
	f, err := dir.Open(name)
	if err != nil {
		return false
	}
	f.Close()
	return true
}

func openFile(dir *handle.Dir, name string) (*os.File, error) {
	f, err := dir.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := f.Regular(); err != nil {
		return nil, err
	}
	return f.Reopen(unix.O_RDONLY)
}
