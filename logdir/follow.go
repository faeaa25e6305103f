package logdir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Follow prints the last n lines of the log, and then what is added to it, until
// nobody reads what is printed. A line is printed when it has ended.
func Follow(to *os.File, name string, n int) error {
	// Before the first look, so that nothing falls in between.
	w, err := watch(name)
	if err != nil {
		return err
	}
	return follow(to, name, n, w)
}

// Poll is Follow for a service with many readers: it looks four times a second, and
// takes none of the watches that a user has (inotify(7), 128 by default). While it
// waits for a reader of a file that does not block, or for the log, it holds no thread.
func Poll(to *os.File, name string, n int) error { return follow(to, name, n, &watcher{-1}) }

func follow(to *os.File, name string, n int, w *watcher) error {
	defer w.close()
	t, err := tail(to, name, n)
	if err != nil {
		return err
	}
	defer t.close()
	for {
		if err := t.next(); err != nil {
			return err
		}
		if done, err := w.wait(to); done || err != nil {
			return err
		}
	}
}

// next prints what was added since: to the file that was current, to those that
// came and were finished meanwhile, and to the one that is current now.
func (t *tailer) next() error {
	for {
		if t.file != nil {
			if err := t.on(t.file); err != nil {
				return err
			}
		}
		if still(t.dir, t.file) {
			return nil
		}
		if done, err := t.turn(); done || err != nil {
			return err
		}
	}
}

// turn goes over to the files that came after the one it reads, which is finished:
// nothing is added to it any more once it has another name.
func (t *tailer) turn() (done bool, err error) {
	if exists(t.dir, previous) {
		return true, nil // until it has its name
	}
	now, err := look(t.dir)
	if err != nil {
		return false, err
	}
	if slices.Contains(now.finished, previous) {
		now.close()
		return true, nil
	}
	if t.file != nil {
		if err := t.on(t.file); err != nil { // what was added between the last look and the renaming
			now.close()
			return false, err
		}
	}
	for _, name := range t.after(now.finished) {
		if err := t.whole(name); err != nil {
			now.close()
			return false, err
		}
	}
	if len(now.finished) > 0 {
		t.past = now.finished[len(now.finished)-1]
	}
	if t.file != nil {
		t.file.Close()
	}
	t.file = now.current
	if t.file != nil {
		t.p.begin(t.file)
	}
	return t.file == nil, nil
}

// after are the files that came after the one it reads. If that has no name any
// more though an older one has, a processor of multilog's wrote the next in its
// place.
func (t *tailer) after(names []string) []string {
	i, older := slices.BinarySearch(names, t.past)
	if older {
		i++
	}
	if t.file == nil {
		return names[i:]
	}
	for k := i; k < len(names); k++ {
		if t.named(names[k], t.file) {
			return names[k+1:]
		}
	}
	if i < len(names) && (older || t.past == "") {
		i++
	}
	return names[i:]
}

// whole prints a file that came and was finished between two looks.
func (t *tailer) whole(name string) error {
	f, err := openFile(t.dir, name)
	if errors.Is(err, fs.ErrNotExist) { // and is gone already
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	return t.read(f, 0)
}

// named says whether the file has that name.
func (t *tailer) named(name string, f *os.File) bool {
	at, err := t.dir.Open(name)
	if err != nil {
		return false
	}
	defer at.Close()
	var st unix.Stat_t
	return unix.Fstat(int(f.Fd()), &st) == nil && at.Same(&st)
}

// A watcher is told when something in a directory changes (inotify(7)). Where it
// is not told, as of files that another host writes, it looks each second.
type watcher struct{ fd int }

func watch(name string) (*watcher, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if errors.Is(err, unix.EMFILE) { // all of the user's are taken
		return &watcher{-1}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("inotify_init: %w", err)
	}
	if _, err := unix.InotifyAddWatch(fd, name, unix.IN_MODIFY|unix.IN_CREATE|unix.IN_MOVE|unix.IN_DELETE); err != nil && !errors.Is(err, unix.ENOSPC) {
		unix.Close(fd)
		return nil, &os.PathError{Op: "watch", Path: name, Err: err}
	}
	return &watcher{fd}, nil
}

func (w *watcher) close() {
	if w.fd >= 0 {
		unix.Close(w.fd)
	}
}

// wait waits for a change; done says that nobody reads what is printed any more.
func (w *watcher) wait(to *os.File) (done bool, err error) {
	conn, err := to.SyscallConn() // Fd would make it one that blocks
	if err != nil {
		return false, err
	}
	patience := time.Second
	if w.fd < 0 {
		time.Sleep(patience / 4)
		patience = 0
	}
	fds := []unix.PollFd{{Fd: int32(w.fd), Events: unix.POLLIN}, {}}
	if wrong := conn.Control(func(fd uintptr) {
		fds[1].Fd = int32(fd)
		_, err = unix.Poll(fds, int(patience.Milliseconds()))
	}); wrong != nil {
		return false, wrong
	}
	if err != nil && !errors.Is(err, unix.EINTR) {
		return false, fmt.Errorf("wait for the log: %w", err)
	}
	if fds[1].Revents&unix.POLLERR != 0 {
		return true, nil
	}
	var b [4096]byte
	for fds[0].Revents != 0 {
		if _, err := unix.Read(w.fd, b[:]); err != nil {
			break // EAGAIN: read empty
		}
	}
	return false, nil
}
