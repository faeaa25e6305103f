package test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"uml/test/lab"
)

// svc -d at any moment of a start: it ends, and either the kernel has begun or
// nothing is claimed; the next start is not disturbed by what is left.
func TestStopsAtAnyMoment(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	l.SetHost("ping-timeout", "10")
	m := l.Machine("guest", lab.Settings{"ip4": address + "\n192.0.2.32/30", "ip6": "2001:db8:1::/64", "swap": "8M"})
	claims := func() string {
		return l.Must("sh", "-c", "{ ip route show proto 117; ip -6 route show proto 117; ip neigh show proxy; } | sed '/ dev live_/d; s/ dead//; s/ linkdown//'")
	}
	// How long a start takes here and now, and what it claims.
	_, took := stopped(t, l, m, `until readlink /proc/$pid/exe | grep -q /linux$; do :; done`)
	whole := claims()

	const starts = 60
	kinds := map[string]int{}
	for i := range starts {
		if i%2 == 0 { // from nothing; else from what the last kernel left
			l.Must("uml-net", "down", "guest")
		}
		delay := took * time.Duration(i) / starts
		r, _ := stopped(t, l, m, fmt.Sprint("sleep ", delay.Seconds()))
		left := claims()
		switch {
		case r.Code == 111 && strings.HasSuffix(r.Err, "uml-run: fatal: told to stop (terminated)\n") && !begun(r) && left == "":
			kinds["stopped"]++
		case r.Code == 128+15 && (left == "" || left == whole): // before the first line of ours, or in the exec
			kinds["dead"]++
		case left == whole && (begun(r) || r.Code == 128+11 || r.Code == 128+6): // however early it was: Debian's kernel crashes then
			kinds["kernel"]++
		default:
			t.Errorf("TERM after %v of %v: exit %d, said %s%s; left\n%swant\n%s", delay, took, r.Code, r.Err, r.Out, left, whole)
		}
	}
	t.Logf("a start takes %v; ended: %v", took, kinds)
	if kinds["stopped"] == 0 {
		t.Error("no signal came while a start was at work")
	}
	m.Activate()
	m.WaitUp(0)
	if got, want := kernel(t, l, m), m.PID(); got != want {
		t.Errorf("kernel %d, supervise watches %d", got, want)
	}
}

// stopped starts the machine by hand and sends TERM after the shell lines in
// wait. It is run on the host, since a way from outside would take longer than a
// start.
func stopped(t *testing.T, l *lab.Lab, m *lab.Machine, wait string) (r lab.Result, took time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), lab.Patience)
	defer cancel()
	cmd := l.Cmd(ctx, m.Dir, "sh", "-c", `
		uml-run </dev/null & pid=$!
		began=$(date +%s%N)
		`+wait+`
		echo $(($(date +%s%N) - began)) >../../took
		kill $pid
		wait $pid`)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.Run()
	r = lab.Result{Out: out.String(), Err: errs.String(), Code: cmd.ProcessState.ExitCode()}
	if ctx.Err() != nil {
		if !begun(r) || strings.Contains(r.Out, "Mounted root") {
			t.Fatalf("it goes on:\n%s%s", r.Err, r.Out)
		}
		// Seen once in some 200: Debian's kernel, told to stop in its first
		// milliseconds, neither boots nor ends. It takes svc -k then.
		t.Logf("the kernel hangs after\n%s", r.Err)
		for _, pid := range processes(t, l, m) {
			l.Kill(pid, unix.SIGKILL)
		}
		nothingRuns(t, l, m)
	}
	fmt.Sscan(read(t, filepath.Join(l.Dir, "took")), &took)
	return r, took
}

// begun says whether the kernel printed its first line.
func begun(r lab.Result) bool { return strings.Contains(r.Err, "Core dump limits") }

// What comes after the last look, in the middle of the exec, is not lost: it ends
// the process, whichever it is then. The exec is held there by the test.
func TestStopInTheExec(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := guest(l)
	fd, err := unix.FanotifyInit(unix.FAN_CLASS_CONTENT|unix.FAN_CLOEXEC, unix.O_RDONLY|unix.O_CLOEXEC)
	if err != nil {
		t.Fatal("fanotify_init:", err)
	}
	defer unix.Close(fd) // lets go of what is held
	if err := unix.FanotifyMark(fd, unix.FAN_MARK_ADD, unix.FAN_OPEN_EXEC_PERM, unix.AT_FDCWD, filepath.Join(m.Jail, "linux")); err != nil {
		t.Fatal("fanotify_mark:", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), lab.Patience)
	defer cancel()
	cmd := l.Cmd(ctx, m.Dir, "uml-run")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid, goOn, err := execs(fd)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(unix.Kill(pid, unix.SIGTERM), goOn()); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	if code := cmd.ProcessState.String(); ctx.Err() != nil || code != "signal: terminated" || out.Len() > 0 {
		t.Errorf("%s, %v, said %q", code, ctx.Err(), out.String())
	}
}

// execs waits until somebody executes the file that fd watches, says who, and how
// to let it go on: see fanotify(7).
func execs(fd int) (pid int, goOn func() error, err error) {
	asked := [...]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for until := time.Now().Add(lab.Patience); ; {
		n, err := unix.Poll(asked[:], int(time.Until(until).Milliseconds()))
		if n == 1 {
			break
		}
		// The Go runtime interrupts its own threads (SIGURG).
		if err != unix.EINTR || time.Now().After(until) {
			return 0, nil, fmt.Errorf("waited for an exec: %v", cmp.Or(err, error(unix.ETIME)))
		}
	}
	var event unix.FanotifyEventMetadata
	text := make([]byte, binary.Size(event))
	if _, err := unix.Read(fd, text); err != nil {
		return 0, nil, err
	}
	if _, err := binary.Decode(text, binary.NativeEndian, &event); err != nil {
		return 0, nil, err
	}
	return int(event.Pid), func() error {
		defer unix.Close(int(event.Fd))
		answer, err := binary.Append(nil, binary.NativeEndian, unix.FanotifyResponse{Fd: event.Fd, Response: unix.FAN_ALLOW})
		if err == nil {
			_, err = unix.Write(fd, answer)
		}
		return err
	}, nil
}
