package lab

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"uml/request"
)

// Shelld starts uml-shelld on the host, with these arguments, and waits until it
// listens. What it says is in ShelldLog.
func (l *Lab) Shelld(args ...string) {
	l.t.Helper()
	log, err := os.Create(l.shelldLog())
	if err != nil {
		l.t.Fatalf("lab: %v", err)
	}
	defer log.Close()
	cmd := l.daemon(l.Dir, append([]string{"uml-shelld"}, args...)...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		l.t.Fatalf("lab: %v", err)
	}
	go cmd.Wait()
	l.Wait("uml-shelld to listen", func() bool { return strings.Contains(l.ShelldLog(), "listens at") })
}

func (l *Lab) shelldLog() string { return filepath.Join(l.Dir, "uml-shelld.log") }

// ShelldLog is what uml-shelld has said.
func (l *Lab) ShelldLog() string {
	text, _ := os.ReadFile(l.shelldLog())
	return string(text)
}

// ShelldPID is uml-shelld's process on the host; 0 if it does not run.
func (l *Lab) ShelldPID() int {
	l.t.Helper()
	pids := l.Processes(func(s Status) bool { return s["Name"] == "uml-shelld" && s.Int("Uid") == 0 })
	if len(pids) == 0 {
		return 0
	}
	return pids[0]
}

// StopShelld kills it.
func (l *Lab) StopShelld() {
	l.t.Helper()
	l.Kill(l.ShelldPID(), unix.SIGKILL)
	l.Wait("uml-shelld to end", func() bool { return l.ShelldPID() == 0 })
}

// Ask connects to uml-shelld as a user of the host does, for request.Over.
func (l *Lab) Ask(uid int) (sock int) {
	l.t.Helper()
	sock, err := l.Connect(uid)
	if err != nil {
		l.t.Fatalf("lab: connect to uml-shelld as user %d: %v", uid, err)
	}
	return sock
}

// Connect is Ask where it may be refused. It is done on a thread that ends after: the
// user could not look into the
// lab's process, whose root the socket is below: so it is held before.
func (l *Lab) Connect(uid int) (sock int, err error) {
	at, err := unix.Open("/proc/"+strconv.Itoa(l.PID)+"/root"+request.Socket, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	defer unix.Close(at)
	sock, err = unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		if _, _, e := unix.RawSyscall(unix.SYS_SETRESUID, ^uintptr(0), uintptr(uid), ^uintptr(0)); e != 0 {
			done <- e
			return
		}
		done <- unix.Connect(sock, &unix.SockaddrUnix{Name: "/proc/self/fd/" + strconv.Itoa(at)})
	}()
	if err := <-done; err != nil {
		unix.Close(sock)
		return -1, err
	}
	return sock, nil
}
