package runscript

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"time"

	"golang.org/x/sys/unix"

	"uml/fault"
)

// errStopped is the cause of a start that a signal ended.
var errStopped = fault.Stopped.Temporary("told to stop")

// signals ends a start early.
type signals struct {
	ctx    context.Context
	caught chan os.Signal
	done   chan struct{}
}

func catch(parent context.Context) *signals {
	ctx, cancel := context.WithCancelCause(parent)
	s := &signals{ctx, make(chan os.Signal, 8), make(chan struct{})}
	signal.Notify(s.caught, unix.SIGTERM, unix.SIGINT, unix.SIGHUP)
	go func() {
		defer close(s.done)
		for sig := range s.caught {
			cancel(fmt.Errorf("%w (%v)", errStopped, sig))
			go unlessRead(sig.(unix.Signal))
		}
	}()
	return s
}

// unlessRead ends the program by the signal after all if nobody reads what it
// says: it hangs in its next line then, and may hold the lock. Standard error
// must have been full for a while: claims are given back in less.
func unlessRead(sig unix.Signal) {
	const look, patience = 50 * time.Millisecond, time.Second
	for full := time.Duration(0); full < patience; full += look {
		fds := []unix.PollFd{{Fd: 2, Events: unix.POLLOUT}}
		if n, err := unix.Poll(fds, 0); err != nil || n > 0 {
			full = 0
		}
		time.Sleep(look)
	}
	signal.Reset(sig)
	unix.Kill(unix.Getpid(), sig)
}

// last stops catching and says whether anything was caught until then. What
// comes later has its default effect: it ends this program or the kernel, which
// is the same process.
func (s *signals) last() error {
	s.stop()
	return context.Cause(s.ctx)
}

// stop may be called twice. When signal.Stop returns, no more will be sent.
func (s *signals) stop() {
	select {
	case <-s.done:
		return
	default:
	}
	signal.Stop(s.caught)
	close(s.caught)
	<-s.done
}
