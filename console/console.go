// Package console joins a terminal to a guest's console.
//
// A start gives the guest's kernel both ends of a terminal pair of the jail's, and
// the kernel uses one: it is never without a terminal, and what it writes while
// nobody reads waits. A viewer takes the other end out of the kernel's process
// (pidfd_getfd(2)). Two that read would each get a part, so the first serves those
// that come later, over a socket, and hands over to one of them when it leaves.
// With the last viewer the last process of ours ends.
//
// The guest is hostile. What it writes goes to the viewer's terminal as it is,
// unless asked for plain: a terminal emulator is made for that, and the answers
// that it makes go to the guest. No other terminal is ever read or written than one
// of the jail's own.
package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/screen"
)

// Options say how a console is viewed.
type Options struct {
	Program string // whose lines those to the viewer are
	Channel string // con1
	Escape  string // see DefaultEscape; "" is that for a terminal and none for a pipe
	Watch   bool   // nothing is typed
	Plain   bool   // what is not text is written out
	Wait    bool   // for the guest to come up, and again when it ends
	Log     string // a file to add all to, made plain
	Linger  time.Duration
	Login   bool // the program is a log-in's, which nobody would wake: it is not suspended

	// Find finds the running guest. What it waits for ends with its context.
	Find func(context.Context) (*Guest, error)
	// Before is shown, and closed, until something comes from the console or is typed.
	Before *os.File
	// Time bounds the wait for a kernel's answer.
	Time time.Duration
}

// A view is one viewer's.
type view struct {
	Options
	screen *tty
	escape escape
	log    *os.File
	plain  plain // for the screen, and for the log
	logged plain

	packets chan []byte   // typed, for whoever serves
	unsent  []byte        // the one that is being sent
	resized chan struct{} // the window has another size
	leave   chan error    // why to end
	left    atomic.Bool   // it was obeyed
	over    chan struct{} // closed when it is
	typing  *screen.Wake  // ends the wait for what is typed
	typists sync.WaitGroup
	looked  chan struct{} // closed when the guest was first found, or not
	look    sync.Once
	joined  atomic.Bool    // somebody serves
	last    atomic.Int64   // when something was sent or came, in ns
	serving sync.WaitGroup // our own hub
	before  before
	hangs   bool // at a terminal that takes no output
}

// View shows the console on standard output and types standard input, until the
// viewer leaves or the guest ends. Nothing reads what is typed after that. It may
// leave goroutines behind that wait for a terminal which takes no output.
func View(ctx context.Context, o Options) (err error) {
	v := &view{
		Options: o, screen: newTTY(o.Program),
		packets: make(chan []byte, 64), resized: make(chan struct{}, 1), leave: make(chan error, 1), over: make(chan struct{}), looked: make(chan struct{}),
		before: before{o.Before, make(chan struct{})},
	}
	defer v.before.end()
	if err := v.prepare(); err != nil {
		return err
	}
	if v.typing, err = screen.NewWake(); err != nil {
		return err
	}
	defer v.typing.Close()
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, unix.SIGTERM, unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGWINCH, unix.SIGTSTP)
	defer signal.Stop(signals)
	if err := v.screen.raw(o.Watch); err != nil {
		return err
	}
	defer func() {
		v.left.Store(true)
		v.before.end()
		close(v.over)
		v.typing.Up()
		v.typists.Wait()
		v.screen.restore(!o.Plain)
		if v.log != nil {
			_, wrong := v.log.Write(v.logged.end(nil))
			err = errors.Join(err, wrong, v.log.Close())
		}
	}()
	v.start(func() { v.signals(signals) })
	v.typists.Add(1)
	v.start(func() {
		defer v.typists.Done()
		v.types()
	})
	v.start(func() { v.before.shows(v) })
	defer context.AfterFunc(ctx, func() { v.end(fault.Stopped.Temporary("told to stop")) })()
	if err := v.attend(ctx); !errors.Is(err, errLeft) {
		return err
	}
	return nil
}

// errLeft: the viewer has left as he wished.
var errLeft = errors.New("left")

func (v *view) prepare() (err error) {
	name := v.Escape
	if name == "" && v.screen.typed {
		name = DefaultEscape
	} else if name == "" {
		name = "none"
	}
	if v.escape, err = parseEscape(name); err != nil {
		return err
	}
	if v.Log != "" {
		v.log, err = os.OpenFile(v.Log, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
		if err != nil {
			return fault.Permanent("--log: %w", err)
		}
	}
	return nil
}

// start runs one of the view's goroutines. If it panics, the terminal is usable
// for reading of it.
func (v *view) start(do func()) {
	go func() {
		defer func() {
			if r := recover(); r != nil {
				v.screen.restore(!v.Plain)
				panic(r)
			}
		}()
		do()
	}()
}

// end asks the view to end; the first reason counts.
func (v *view) end(why error) {
	select {
	case v.leave <- why:
	default:
	}
}

func (v *view) signals(all <-chan os.Signal) {
	for {
		var s os.Signal
		select {
		case s = <-all:
		case <-v.over:
			return
		}
		switch s {
		case unix.SIGWINCH:
			v.resize()
		case unix.SIGTSTP:
			v.suspend()
		default:
			v.end(fault.Stopped.Temporary("told to stop (%v)", s))
		}
	}
}

func (v *view) resize() {
	select {
	case v.resized <- struct{}{}:
	default:
	}
}

// suspend stops the program, with the terminal as it was found, unless nobody would
// wake it.
func (v *view) suspend() {
	if v.Login {
		return
	}
	v.screen.restore(!v.Plain)
	unix.Kill(os.Getpid(), unix.SIGSTOP)
	if err := v.screen.raw(v.Watch); err != nil {
		v.end(err)
	}
	v.resize()
}

// types reads standard input until its end. It goes on whatever becomes of what is
// read, so that the escape is heard.
func (v *view) types() {
	if v.Watch && !v.screen.typed {
		return
	}
	select { // what was typed ahead waits for who is to have it
	case <-v.looked:
	case <-v.over:
	case <-time.After(patience / 4):
	}
	b := make([]byte, maxInput-1) // and a held escape character
	for {
		if !v.typing.Wait(0) {
			return
		}
		n, err := unix.Read(0, b)
		if errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN) {
			continue
		}
		if n <= 0 {
			break
		}
		v.take(b[:n])
	}
	v.send(append([]byte{input}, v.escape.end()...))
	if v.screen.typed { // hung up
		v.end(fault.Temporary("read what is typed: %w", io.EOF))
		return
	}
	for v.quiet() < v.Linger && !v.left.Load() {
		time.Sleep(min(v.Linger, 20*time.Millisecond))
	}
	v.end(errLeft)
}

// quiet is how long nothing has been sent or come, with all sent.
func (v *view) quiet() time.Duration {
	if !v.joined.Load() || len(v.packets) > 0 {
		return 0
	}
	return time.Duration(time.Now().UnixNano() - v.last.Load())
}

// take obeys the orders in what was typed, and types the rest.
func (v *view) take(typed []byte) {
	v.before.end()
	for rest := typed; rest != nil; {
		var out []byte
		var o order
		out, o, rest = v.escape.next([]byte{input}, rest)
		v.send(out)
		switch o {
		case leave:
			v.end(errLeft)
			return // what comes with it is not the guest's any more
		case suspend:
			v.suspend()
		case help:
			if writable(2) {
				v.screen.say(v.help())
			}
		}
	}
}

func (v *view) help() string {
	e := v.escape.name()
	suspends := e + "^Z suspends, "
	if v.Login {
		suspends = ""
	}
	return fmt.Sprintf("at the beginning of a line, %s. leaves, %s%s%s types %s", e, suspends, e, e, e)
}

// send hands a packet of typed bytes to who sends them. What is typed at a terminal
// faster than the guest takes it, or to none, is lost, and the terminal beeps; a
// pipe waits.
func (v *view) send(packet []byte) {
	if len(packet) == 1 || v.Watch {
		return
	}
	if !v.screen.typed {
		select {
		case v.packets <- packet:
		case <-v.over:
		}
		return
	}
	if v.joined.Load() {
		select {
		case v.packets <- packet:
			return
		default:
		}
	}
	if writable(2) {
		unix.Write(2, []byte("\a"))
	}
}
