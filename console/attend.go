package console

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/mconsole"
	"uml/packet"
)

// errLost: who served has gone without a word.
var errLost = errors.New("whoever served this console has gone")

// errOver: the guest's end, as it was told.
var errOver = errors.New("over")

// attend views one guest's console after the other.
func (v *view) attend(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	said := false
	for {
		conn, g, err := v.find(ctx)
		if err == nil {
			said = false
			err = v.show(ctx, conn, g)
			v.letGo(conn, g)
		} else {
			v.look.Do(func() { close(v.looked) })
		}
		switch {
		case errors.Is(err, errOver) && !v.Wait:
			return nil
		case errors.Is(err, errLost):
		case errors.Is(err, errOver):
			said = true
			v.screen.say("waiting for it to come up")
		case v.Wait && fault.Code(err) == fault.MayPass && !v.left.Load():
			if !said {
				said = true
				v.screen.say(fault.Line(err.Error()) + "; waiting for it to come up")
			}
		default:
			return err
		}
		select {
		case err := <-v.leave:
			return err
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// find finds the guest and who serves its console, itself if nobody does; unless
// the viewer leaves before.
func (v *view) find(ctx context.Context) (conn int, g *Guest, err error) {
	type found struct {
		conn int
		g    *Guest
		err  error
	}
	done := make(chan found, 1)
	ctx, cancel := context.WithTimeout(ctx, v.Time)
	defer cancel()
	v.start(func() {
		g, err := v.Find(ctx)
		if err != nil {
			done <- found{-1, nil, err}
			return
		}
		conn, err := v.join(ctx, g)
		if err != nil {
			g.Close()
		}
		done <- found{conn, g, err}
	})
	select {
	case f := <-done:
		return f.conn, f.g, f.err
	case err := <-v.leave:
		v.left.Store(true)
		go func() { // it may be found all the same
			if f := <-done; f.err == nil {
				v.letGo(f.conn, f.g)
			}
		}()
		return -1, nil, err
	}
}

// join joins who serves the console, or begins to.
func (v *view) join(ctx context.Context, g *Guest) (int, error) {
	socket := "console-" + v.Channel
	said := false
	for {
		if conn, err := g.connect(socket); err != nil || conn >= 0 {
			return conn, err
		}
		t, err := v.terminal(ctx, g)
		if errors.Is(err, errUnopened) && !said {
			said = true
			v.screen.say(fmt.Sprintf("%s: the guest has not opened %s yet; waiting for it", g.name, v.Channel))
		}
		if err == nil {
			conn, beginErr := v.begin(g, t, socket)
			if beginErr != nil || conn >= 0 {
				return conn, beginErr
			}
			err = fault.Temporary("%s: somebody has locked the terminal of %s, and nobody serves it (fuser finds who has it open)", g.name, v.Channel)
		}
		if fault.Code(err) == fault.MustMend {
			return -1, err
		}
		select {
		case <-ctx.Done():
			return -1, err
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (v *view) terminal(ctx context.Context, g *Guest) (*terminal, error) {
	ctx, cancel := context.WithTimeout(ctx, v.Time)
	defer cancel()
	return g.take(ctx, v.Channel)
}

// begin serves the terminal if nobody does; -1 if somebody has its lock.
func (v *view) begin(g *Guest, t *terminal, socket string) (int, error) {
	locked, err := t.lock()
	if !locked || err != nil {
		t.close()
		return -1, err
	}
	mine, hubs, err := packet.Pair()
	if err != nil {
		t.close()
		return -1, err
	}
	unix.SetNonblock(hubs, true)
	listener, err := g.serve(socket)
	if err != nil {
		v.screen.say(fault.Line(err.Error()) + "; nobody else can view this console meanwhile")
	}
	v.serve(newHub(g, t, listener, socket, hubs))
	return mine, nil
}

func (v *view) serve(h *hub) {
	v.serving.Add(1)
	v.start(func() {
		defer v.serving.Done()
		h.run()
	})
}

// show views the console over conn until its end or the viewer's order.
func (v *view) show(ctx context.Context, conn int, g *Guest) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop, sent := make(chan struct{}), make(chan struct{})
	shown := make(chan error, 1)
	v.last.Store(time.Now().UnixNano())
	v.joined.Store(true)
	v.look.Do(func() { close(v.looked) })
	v.start(func() {
		defer close(sent)
		v.sends(conn, stop)
	})
	v.start(func() { shown <- v.shows(ctx, conn, g) })
	v.resize()

	var err error
	over := false
	select {
	case err = <-shown:
		over = true
	case err = <-v.leave:
		v.left.Store(true)
		v.before.end()
		cancel() // who takes over may wait for the terminal
	}
	close(stop)
	if !over {
		select {
		case <-sent:
		case <-time.After(patience / 4): // it takes nothing
		}
	}
	unix.Shutdown(conn, unix.SHUT_RDWR)
	<-sent
	if !over { // to serve may have been handed to us just now
		select {
		case <-shown:
		case <-time.After(patience / 4): // it hangs at the terminal
			v.hangs = true
		}
	}
	v.joined.Store(errors.Is(err, errLost)) // there is still a guest to type for
	return err
}

// letGo closes what a view of a guest had. It waits for our own hub, and not for
// ever. Whether the terminal is one that waits is said for all who have it (fcntl(2),
// O_NONBLOCK): a guest that was broken out of can have the hub hang there. What hangs
// keeps its descriptors: their numbers must not become others'.
func (v *view) letGo(conn int, g *Guest) {
	unix.Shutdown(conn, unix.SHUT_RDWR)
	done := make(chan struct{})
	go func() {
		v.serving.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(2 * patience):
		return
	}
	if !v.hangs {
		unix.Close(conn)
		g.Close()
	}
}

// sends sends what is typed. A guest that takes nothing holds it up.
func (v *view) sends(conn int, stop <-chan struct{}) {
	for {
		if v.unsent != nil && packet.Send(conn, v.unsent, nil, 0) != nil {
			return // whoever serves next gets it
		}
		v.unsent = nil
		select {
		case <-stop:
			if v.left.Load() {
				v.rest(conn)
			}
			return
		case <-v.resized:
			if w := v.screen.window(); !v.Watch && w.Row > 0 {
				packet.Send(conn, sizePacket(w), nil, 0) // if it fails, receiving does
			}
		case v.unsent = <-v.packets:
			v.last.Store(time.Now().UnixNano())
		}
	}
}

// rest sends what was typed before the viewer left, as far as it is taken at once.
func (v *view) rest(conn int) {
	for {
		select {
		case b := <-v.packets:
			if packet.Send(conn, b, nil, unix.MSG_DONTWAIT) != nil {
				return
			}
		default:
			return
		}
	}
}

// shows prints what comes.
func (v *view) shows(ctx context.Context, conn int, g *Guest) error {
	b := make([]byte, 1+maxOutput)
	for {
		n, fds, err := packet.Receive(conn, b, 0)
		if err != nil || n == 0 {
			packet.Close(fds)
			return errLost
		}
		if b[0] != hand {
			packet.Close(fds)
		}
		switch b[0] {
		case output:
			if wrong := v.print(b[1:n]); wrong != nil { // at our own end: no guest is waited for
				v.end(wrong)
				err = errLost
			}
		case notice:
			v.screen.say(mconsole.Clean(string(b[1:n])))
		case ended:
			v.screen.say(mconsole.Clean(string(b[1:n])))
			err = errOver
		case hand:
			err = v.takeOver(ctx, g, n > 1, fds)
		}
		if err != nil {
			return err
		}
	}
}

// takeOver serves from now on. If it cannot, its end is for the others to begin
// anew.
func (v *view) takeOver(ctx context.Context, g *Guest, listening bool, fds []int) error {
	t, err := v.terminal(ctx, g)
	if err != nil {
		packet.Close(fds)
		return err
	}
	h, err := g.adopt(t, "console-"+v.Channel, listening, fds)
	if err == nil {
		v.serve(h)
	}
	return err
}

func (v *view) print(b []byte) error {
	v.before.settle()
	v.last.Store(time.Now().UnixNano())
	if v.log != nil {
		if _, err := v.log.Write(v.logged.add(nil, b)); err != nil {
			return fmt.Errorf("--log: %w", err)
		}
	}
	if v.Plain {
		b = v.plain.add(nil, b)
	}
	return v.screen.write(b, v.left.Load)
}
