package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"sync"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"uml/fault"
	"uml/screen"
)

// prompt obeys line after line until the customer leaves. The terminal is raw only
// while a line is typed: a command that runs is interrupted as anywhere.
func (s *session) prompt(ctx context.Context) error {
	wake, err := screen.NewWake()
	if err != nil {
		return err
	}
	defer wake.Close()
	ctx, stop := signal.NotifyContext(ctx, unix.SIGHUP, unix.SIGTERM)
	defer stop()
	defer context.AfterFunc(ctx, wake.Up)()
	quiet := make(chan os.Signal, 1) // what would end or stop the shell between two commands
	signal.Notify(quiet, unix.SIGINT, unix.SIGQUIT, unix.SIGTSTP)
	defer signal.Stop(quiet)

	t := term.NewTerminal(&keyboard{fd: 0, wake: wake, out: s.out}, s.machine+"> ")
	t.AutoCompleteCallback = complete
	for {
		debug.FreeOSMemory() // a prompt is idle for hours
		line, err := s.line(t)
		switch {
		case ctx.Err() != nil:
			return fault.Stopped.Temporary("told to stop")
		case errors.Is(err, io.EOF):
			fmt.Fprintln(s.out)
			return nil
		case err != nil:
			return fault.Temporary("read what is typed: %w", err)
		}
		err = s.obey(ctx, line)
		if errors.Is(err, errExit) {
			return err
		}
		for _, part := range fault.Parts(err) {
			fmt.Fprintln(os.Stderr, fault.Line(part.Error()))
		}
	}
}

// line has one typed.
func (s *session) line(t *term.Terminal) (string, error) {
	before, err := term.MakeRaw(0)
	if err != nil {
		return "", err
	}
	defer term.Restore(0, before)
	defer follows(t)()
	return t.ReadLine()
}

// follows has the line follow the window's size, until it is told to end.
func follows(t *term.Terminal) (end func()) {
	fit := func() {
		columns, rows := screen.Size(os.Stdout)
		t.SetSize(columns, rows)
	}
	resized, done := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(resized, unix.SIGWINCH)
	fit()
	var ended sync.WaitGroup
	ended.Go(func() {
		for {
			select {
			case <-resized:
				fit()
			case <-done:
				return
			}
		}
	})
	return func() {
		signal.Stop(resized)
		close(done)
		ended.Wait()
	}
}
