package supervisor

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"uml/handle"
)

const patience = 2 * time.Minute

// service is a service directory that nobody supervises.
func service(t *testing.T, run string) *handle.Dir {
	t.Helper()
	name := t.TempDir()
	if err := os.WriteFile(name+"/run", []byte("#!/bin/sh\n"+run+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	d, err := handle.OpenDir(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// supervise starts a real supervisor, and returns what tells of its end.
func supervise(t *testing.T, program string, d *handle.Dir) <-chan error {
	t.Helper()
	cmd := exec.Command(program, d.Path)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		if s, err := Read(d); err == nil && s.PID != 0 {
			unix.Kill(s.PID, unix.SIGKILL)
		}
		cmd.Process.Kill()
	})
	return ended
}

// await reads until the status is as wanted.
func await(t *testing.T, d *handle.Dir, what string, ok func(Status) bool) Status {
	t.Helper()
	var s Status
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if s, err = Read(d); err == nil && ok(s) {
			return s
		}
	}
	t.Fatalf("waited for %s: %+v, %v", what, s, err)
	return s
}

func send(t *testing.T, d *handle.Dir, o Order) {
	t.Helper()
	if err := Send(d, o); err != nil {
		t.Fatal(err)
	}
}

var programs = map[string]Kind{"supervise": Daemontools, "runsv": Runit, "s6-supervise": S6}

// All orders, as each real one takes them, and what each says then.
func TestReal(t *testing.T) {
	for program, kind := range programs {
		t.Run(program, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			// TERM is noted, and does not end it. The shell takes signals by their numbers.
			d := service(t, `trap 'echo >term' TERM; trap 'echo >winch' WINCH; echo >ran; while :; do sleep 0.1; done`)
			if s, err := Read(d); s != (Status{}) || err != nil {
				t.Errorf("before: got %+v, %v", s, err)
			}
			if err := Send(d, Start); !errors.Is(err, ErrNotRunning) {
				t.Errorf("before: got %v", err)
			}
			ended := supervise(t, program, d)
			up := await(t, d, "its start", func(s Status) bool { return s.PID != 0 })
			if up.Kind != kind || !up.Supervised || up.Want != Up || up.Paused || up.Finishing {
				t.Errorf("got %+v", up)
			}
			if up.Since.Before(began.Add(-time.Second)) || up.Since.After(time.Now()) {
				t.Errorf("started %v, between %v and now", up.Since, began)
			}
			awaitFile(t, d.Join("ran"))

			send(t, d, Stay)
			await(t, d, "no more starts", func(s Status) bool { return s.Want != Up && s.PID == up.PID })
			send(t, d, Start)
			await(t, d, "up again", func(s Status) bool { return s.Want == Up && s.PID == up.PID })
			if err := unix.Kill(up.PID, unix.SIGWINCH); err != nil {
				t.Fatal(err)
			}
			awaitFile(t, d.Join("winch"))
			if _, err := os.Stat(d.Join("term")); err == nil {
				t.Error("it was sent TERM")
			}
			send(t, d, Terminate)
			awaitFile(t, d.Join("term"))

			send(t, d, Stay)
			send(t, d, Kill)
			await(t, d, "down", func(s Status) bool { return s.PID == 0 })
			send(t, d, Stay) // and of one that is down
			await(t, d, "down", func(s Status) bool { return s.PID == 0 && s.Want == Down })
			send(t, d, Exit)
			select {
			case err := <-ended:
				if err != nil {
					t.Error(err)
				}
			case <-time.After(patience):
				t.Fatal("it does not end")
			}
			if s, err := Read(d); s != (Status{Kind: kind}) || err != nil {
				t.Errorf("after: got %+v, %v", s, err)
			}
			if err := Send(d, Start); !errors.Is(err, ErrNotRunning) {
				t.Errorf("after: got %v", err)
			}
		})
	}
}

func awaitFile(t *testing.T, name string) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(name); err == nil {
			return
		}
	}
	t.Fatalf("waited for %s", name)
}

// An order is a byte in a fifo, and in nothing else.
func TestNoFifo(t *testing.T) {
	d := service(t, "")
	if err := os.MkdirAll(d.Join("supervise"), 0o700); err != nil {
		t.Fatal(err)
	}
	file := d.Join("supervise/control")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	want := file + ": is no fifo (remove " + d.Join("supervise") + " while nothing supervises the machine)"
	if err := Send(d, Stop); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if text, err := os.ReadFile(file); len(text) > 0 || err != nil {
		t.Errorf("written: %q, %v", text, err)
	}
}

// A supervisor that reads nothing any more holds nobody up.
func TestFull(t *testing.T) {
	d := service(t, "")
	if err := errors.Join(os.Mkdir(d.Join("supervise"), 0o700), unix.Mkfifo(d.Join("supervise/control"), 0o600)); err != nil {
		t.Fatal(err)
	}
	fifo, err := os.OpenFile(d.Join("supervise/control"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer fifo.Close()
	size, err := unix.FcntlInt(fifo.Fd(), unix.F_SETPIPE_SZ, os.Getpagesize())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Write(int(fifo.Fd()), make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	err = Send(d, Stop)
	if want := fifo.Name() + ": is full of orders that supervise does not read"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// One that ends between the look at it and the order is not running.
func TestEndsMeanwhile(t *testing.T) {
	dir := service(t, "")
	if err := errors.Join(os.Mkdir(dir.Join("supervise"), 0o700), unix.Mkfifo(dir.Join("supervise/control"), 0o600)); err != nil {
		t.Fatal(err)
	}
	reader, err := os.OpenFile(dir.Join("supervise/control"), os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	d, err := open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	fifo, err := d.control()
	if fifo < 0 || err != nil {
		t.Fatalf("got %d, %v", fifo, err)
	}
	defer unix.Close(fifo)
	reader.Close()
	if err := d.tell(fifo, 'd'); !errors.Is(err, ErrNotRunning) {
		t.Errorf("got %v", err)
	}
}

// To another user than root the directory is closed.
func TestOtherUser(t *testing.T) {
	d := service(t, "")
	if err := os.Mkdir(d.Join("supervise"), 0o700); err != nil {
		t.Fatal(err)
	}
	err := handle.As(65534, 65534, func() error { _, err := Read(d); return err })
	if !errors.Is(err, fs.ErrPermission) {
		t.Errorf("got %v", err)
	}
}
