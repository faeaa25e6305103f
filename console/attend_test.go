package console

import (
	"bytes"
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"uml/packet"
)

// The guest's kernel has the same open file as the viewer, and can make it one that
// waits: whoever views can leave all the same.
func TestLeaveTerminalThatWaits(t *testing.T) {
	master, slave := openPair(t)
	process, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		t.Fatal(err)
	}
	mine, hubs, err := packet.Pair()
	if err != nil {
		t.Fatal(err)
	}
	g := &Guest{name: "guest", process: process}
	v := &view{screen: newTTY("test"), packets: make(chan []byte, 64), resized: make(chan struct{}, 1), leave: make(chan error, 1), looked: make(chan struct{}), before: before{over: make(chan struct{})}}
	close(v.before.over)
	for range cap(v.packets) {
		v.packets <- append([]byte{input}, bytes.Repeat([]byte{'x'}, maxInput)...)
	}
	v.serve(newHub(g, &terminal{master, slave}, -1, "", hubs))
	shown := make(chan error, 1)
	go func() { shown <- v.show(t.Context(), mine, g) }()

	deadline := time.After(2 * time.Minute)
	for full := false; !full; {
		waiting, err := unix.IoctlGetInt(slave, unix.TIOCINQ)
		if err != nil {
			t.Fatal(err)
		}
		full = waiting > 4000 // of 4096 (drivers/tty/n_tty.c)
		select {
		case <-deadline:
			t.Fatalf("the terminal took %d bytes", waiting)
		case <-time.After(10 * time.Millisecond):
		}
	}
	v.leave <- errLeft
	select {
	case err := <-shown:
		if !errors.Is(err, errLeft) {
			t.Error(err)
		}
	case <-deadline:
		t.Error("cannot be left")
	}
}

func openPair(t *testing.T) (master, slave int) {
	t.Helper()
	master, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err == nil {
		err = unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	peer, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(master), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	if e != 0 {
		t.Fatal(e)
	}
	if _, err := term.MakeRaw(int(peer)); err != nil {
		t.Fatal(err)
	}
	return master, int(peer)
}

// Who is handed the terminal and has to wait for it can leave, and keeps nothing.
func TestLeaveWhileTakingOver(t *testing.T) {
	mine, others, err := packet.Pair()
	if err != nil {
		t.Fatal(err)
	}
	waits := make(chan struct{})
	g := &Guest{name: "guest", given: &given{again: func(ctx context.Context) (p Parts, err error) {
		close(waits)
		<-ctx.Done()
		return p, ctx.Err()
	}}}
	v := &view{screen: newTTY("test"), Options: Options{Time: time.Hour}, resized: make(chan struct{}, 1), leave: make(chan error, 1), looked: make(chan struct{}), before: before{over: make(chan struct{})}}
	shown := make(chan error, 1)
	go func() { shown <- v.show(t.Context(), mine, g) }()
	if err := packet.Send(others, message(hand, ""), []int{others, others}, 0); err != nil {
		t.Fatal(err)
	}
	<-waits
	v.leave <- errLeft
	if err := <-shown; !errors.Is(err, errLeft) || v.hangs {
		t.Errorf("left: %v, hangs: %v", err, v.hangs)
	}
}
