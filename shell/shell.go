// Package shell is the login shell of a machine's account (paper 3.2): a prompt, or
// one command, by which a customer looks after his guest from outside of it.
//
// There is no way from it to a file, a program or another's guest. What a line means
// is said by a table of commands alone; what needs root is asked of uml-shelld
// (package request), which knows the account from the kernel and is told no names. Of
// the environment only what sshd says is used: where from, and with a forced command
// what was asked for.
package shell

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"os"
	"os/signal"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/mconsole"
	"uml/packet"
	"uml/request"
	"uml/screen"
)

// Name is the program's. As a command, alone or with a path before it, it stands for
// what was asked for before sshd forced it (sshd_config(5), ForceCommand).
const Name = "uml-shell"

// A session is one log-in.
type session struct {
	socket   string
	from     string // address
	out      io.Writer
	terminal bool // out is one

	machine string
}

// Run is one log-in: a command, or all that is typed if there is none. forced is what
// sshd was asked for before it forced Name.
func Run(ctx context.Context, socket, line, forced, connection string) error {
	signal.Ignore(unix.SIGPIPE)                          // nothing is started that would inherit that
	signal.Notify(make(chan os.Signal, 1), unix.SIGQUIT) // the runtime would show its stacks
	unix.Umask(0o077)
	os.Clearenv() // the library looks at some of it: TZ names a file
	if forcedCommand(line) {
		line = forced
	}
	s := &session{socket: socket, from: address(connection), out: os.Stdout, terminal: screen.Is(os.Stdout)}
	hello, err := s.ask(ctx, request.Request{Act: request.Login})
	if err != nil {
		return err
	}
	if hello.Machine == nil {
		return fault.Permanent("%s: no machine was named", socket)
	}
	s.machine = mconsole.Clean(hello.Machine.Name)
	switch {
	case strings.TrimSpace(line) != "":
		err = s.obey(ctx, line)
	case screen.Is(os.Stdin):
		s.greet(hello.Machine)
		err = s.prompt(ctx)
	default:
		err = s.script(ctx, 0)
	}
	if errors.Is(err, errExit) {
		return nil
	}
	return err
}

// errExit: the customer logs out.
var errExit = errors.New("exit")

func forcedCommand(line string) bool {
	return line == Name || path.IsAbs(line) && path.Base(line) == Name
}

// obey does what one line says. An interrupt ends the wait for it.
func (s *session) obey(ctx context.Context, line string) error {
	c, args, err := parse(line)
	if err != nil || c == nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, unix.SIGINT, unix.SIGQUIT)
	defer stop()
	err = c.run(s, ctx, c, args)
	if ctx.Err() != nil && errors.Is(err, context.Cause(ctx)) {
		return fault.Temporary("interrupted; what was begun goes on")
	}
	return err
}

// ask asks for what comes at once, and without descriptors.
func (s *session) ask(ctx context.Context, r request.Request) (*request.Answer, error) {
	a, fds, err := s.request(ctx, r, func(string) {})
	packet.Close(fds)
	return a, err
}

// request asks, and is told the steps.
func (s *session) request(ctx context.Context, r request.Request, step func(string)) (*request.Answer, []int, error) {
	r.From = s.from
	a, fds, err := request.Ask(ctx, s.socket, r, step)
	if err == nil {
		err = a.Err()
	}
	if err != nil {
		packet.Close(fds)
		return nil, nil, err
	}
	return a, fds, nil
}

// address is the first word of SSH_CONNECTION (ssh(1)); "" if it is none.
func address(connection string) string {
	first, _, _ := strings.Cut(connection, " ")
	a, err := netip.ParseAddr(first)
	if err != nil {
		return ""
	}
	return a.WithZone("").String()
}
