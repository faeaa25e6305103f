// Package watch sees who opens a guest's disc, and that nobody does while another can still
// write it. It is for tests only.
package watch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"uml/test/lab"
)

// A Watch holds every opening of a disc (fanotify(7), FAN_OPEN_PERM) until it has
// looked who else has the disc open for writing: there may be nobody but what the
// opener itself has started. Between two openings nobody new can come to write.
type Watch struct {
	l    *lab.Lab
	disc unix.Stat_t
	fd   int
	stop *os.File // closed: no more
	done chan struct{}

	mu    sync.Mutex
	opens map[string]int // by program
	bad   []string
}

// Disc begins to, until the test ends.
func Disc(t lab.TB, l *lab.Lab, disc string) *Watch {
	t.Helper()
	w := &Watch{l: l, done: make(chan struct{}), opens: map[string]int{}}
	if err := unix.Stat(disc, &w.disc); err != nil {
		t.Fatalf("watch: %v", err)
	}
	var err error
	if w.fd, err = unix.FanotifyInit(unix.FAN_CLASS_CONTENT|unix.FAN_CLOEXEC, unix.O_RDONLY|unix.O_CLOEXEC); err != nil {
		t.Fatalf("fanotify_init: %v", err)
	}
	if err := unix.FanotifyMark(w.fd, unix.FAN_MARK_ADD, unix.FAN_OPEN_PERM, unix.AT_FDCWD, disc); err != nil {
		t.Fatalf("fanotify_mark: %v", err)
	}
	ended, stop, err := os.Pipe()
	if err != nil {
		t.Fatalf("watch: %v", err)
	}
	w.stop = stop
	go w.run(ended)
	t.Cleanup(w.close)
	return w
}

// close lets go of what is held.
func (w *Watch) close() {
	w.stop.Close()
	<-w.done
	unix.Close(w.fd)
}

func (w *Watch) run(ended *os.File) {
	defer close(w.done)
	defer ended.Close()
	fds := []unix.PollFd{{Fd: int32(w.fd), Events: unix.POLLIN}, {Fd: int32(ended.Fd()), Events: unix.POLLIN}}
	for {
		if _, err := unix.Poll(fds, -1); err == unix.EINTR {
			continue
		} else if err != nil {
			w.say("poll: %v", err)
			return
		}
		if fds[1].Revents != 0 {
			return
		}
		if err := w.answer(); err != nil {
			w.say("fanotify: %v", err)
			return
		}
	}
}

// answer takes what openings there are, and lets each go on.
func (w *Watch) answer() error {
	text := make([]byte, 4096)
	n, err := unix.Read(w.fd, text)
	if err == unix.EINTR {
		return nil
	}
	if err != nil {
		return err
	}
	for r := bytes.NewReader(text[:n]); r.Len() > 0; {
		var event unix.FanotifyEventMetadata
		if err := binary.Read(r, binary.NativeEndian, &event); err != nil {
			return err
		}
		w.look(int(event.Pid))
		reply, err := binary.Append(nil, binary.NativeEndian, unix.FanotifyResponse{Fd: event.Fd, Response: unix.FAN_ALLOW})
		if err == nil {
			_, err = unix.Write(w.fd, reply)
		}
		unix.Close(int(event.Fd))
		if err != nil && !errors.Is(err, unix.ENOENT) { // killed meanwhile
			return err
		}
	}
	return nil
}

// look judges one opening. pid is the opener's out here; it waits for us. One that
// is killed meanwhile gets no file, and its children have another parent.
func (w *Watch) look(pid int) {
	exe, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	opener := Inside(pid)
	w.mu.Lock()
	w.opens[filepath.Base(exe)]++
	w.mu.Unlock()
	if filepath.Base(exe) == "uml-check" { // reads, and may beside a guest that runs
		return
	}
	for _, other := range w.writers() {
		if !slices.Contains(w.ancestors(other), opener) && !w.ending(other) && !w.ending(opener) {
			name, _ := os.Readlink(w.l.Proc(other, "exe"))
			w.say("process %d (%s) opens the disc that process %d (%s) has open for writing\n%s", opener, exe, other, name, w.processes())
		}
	}
}

// Inside is what the lab's host calls a process.
func Inside(pid int) int {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range bytes.Lines(text) {
		if f := strings.Fields(string(line)); len(f) > 1 && f[0] == "NSpid:" {
			pid, _ = strconv.Atoi(f[len(f)-1])
		}
	}
	return pid
}

// writers are the processes of the host that have the disc open for writing.
func (w *Watch) writers() (pids []int) {
	all, _ := filepath.Glob(fmt.Sprintf("/proc/%d/root/proc/[0-9]*/fd/*", w.l.PID))
	for _, fd := range all {
		var st unix.Stat_t
		if unix.Stat(fd, &st) != nil || st.Dev != w.disc.Dev || st.Ino != w.disc.Ino {
			continue
		}
		dir := filepath.Dir(filepath.Dir(fd))
		info, _ := os.ReadFile(filepath.Join(dir, "fdinfo", filepath.Base(fd)))
		_, flags, _ := strings.Cut(string(info), "flags:\t")
		flags, _, _ = strings.Cut(flags, "\n")
		if mode, err := strconv.ParseInt(flags, 8, 64); err != nil || mode&unix.O_ACCMODE == unix.O_RDONLY {
			continue
		}
		if pid, _ := strconv.Atoi(filepath.Base(dir)); !slices.Contains(pids, pid) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// processes is what runs, for a failure's message.
func (w *Watch) processes() string {
	var all strings.Builder
	names, _ := filepath.Glob(fmt.Sprintf("/proc/%d/root/proc/[0-9]*", w.l.PID))
	for _, name := range names {
		pid, _ := strconv.Atoi(filepath.Base(name))
		s := w.l.Status(pid)
		exe, _ := os.Readlink(filepath.Join(name, "exe"))
		fmt.Fprintf(&all, "%6d parent %s, traced by %s, uid %s, %s: %s\n", pid, s["PPid"], s["TracerPid"], s["Uid"], s["State"], exe)
	}
	return all.String()
}

func (w *Watch) ancestors(pid int) (all []int) {
	for ; pid != 0; pid = w.l.Status(pid).Int("PPid") {
		all = append(all, pid)
	}
	return all
}

// ending: a process that is on its way out closes one descriptor after the other,
// its locks perhaps before its disc, and writes no more (PF_EXITING, proc(5)).
func (w *Watch) ending(pid int) bool {
	const exiting = 4
	text, _ := os.ReadFile(w.l.Proc(pid, "stat"))
	_, rest, _ := strings.Cut(string(text), ") ")
	f := strings.Fields(rest)
	if len(f) < 7 {
		return true // gone
	}
	flags, _ := strconv.Atoi(f[6])
	return flags&exiting != 0
}

func (w *Watch) say(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bad = append(w.bad, fmt.Sprintf(format, args...))
}

// Wrong is what has been seen that must not be.
func (w *Watch) Wrong() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.bad, "\n")
}

// Opens counts the openings by program.
func (w *Watch) Opens() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.opens)
}
