package lab

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime"

	"golang.org/x/sys/unix"
)

// Main is the main of a program that uses labs as a test does. It returns the
// exit code; an interrupt ends the labs as well.
func Main(f func(t TB)) int {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	defer stop()
	p := &program{ctx: ctx}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer p.end()
		f(p)
	}()
	<-done
	if p.failed {
		return 1
	}
	return 0
}

type program struct {
	ctx     context.Context //nolint:containedctx // TB has it so
	cleanup []func()
	failed  bool
}

func (p *program) Helper()                    {}
func (p *program) Context() context.Context   { return p.ctx }
func (p *program) Cleanup(f func())           { p.cleanup = append(p.cleanup, f) }
func (p *program) Logf(s string, args ...any) { fmt.Fprintf(os.Stderr, s+"\n", args...) }

func (p *program) Fatalf(s string, args ...any) {
	p.failed = true
	if p.ctx.Err() == nil {
		p.Logf(s, args...)
	}
	runtime.Goexit()
}

func (p *program) end() {
	for i := len(p.cleanup) - 1; i >= 0; i-- {
		p.cleanup[i]()
	}
}
