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
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/signal"
	"strings"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/mconsole"
	"uml/request"
	"uml/screen"
)

// Name is the program's, and the word of a forced command (sshd_config(5),
// ForceCommand) that stands for what was asked for.
const Name = "uml-shell"

// A session is one log-in.
type session struct {
	socket string
	from   string // address
	out    io.Writer

	machine string
	console int // rounds of what was viewed
}

// Run is one log-in: a command, or all that is typed if there is none. forced is what
// sshd was asked for before it forced Name.
func Run(ctx context.Context, socket, line, forced, connection string) error {
	if line == Name {
		line = forced
	}
	s := &session{socket: socket, from: address(connection), out: os.Stdout}
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
		err = s.script(ctx, os.Stdin)
	}
	if errors.Is(err, errExit) {
		return nil
	}
	return err
}

// errExit: the customer logs out.
var errExit = errors.New("exit")

// obey does what one line says. An interrupt ends the wait for it.
func (s *session) obey(ctx context.Context, line string) error {
	all, err := words(line)
	if err != nil || len(all) == 0 {
		return err
	}
	c, err := find(all[0])
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, unix.SIGINT)
	defer stop()
	err = c.run(s, ctx, c, all[1:])
	if ctx.Err() != nil && errors.Is(err, context.Cause(ctx)) {
		return fault.Temporary("interrupted; what was begun goes on")
	}
	return err
}

// ask asks, and prints what is being done.
func (s *session) ask(ctx context.Context, r request.Request) (*request.Answer, error) {
	a, fds, err := s.request(ctx, r)
	for _, fd := range fds {
		unix.Close(fd)
	}
	return a, err
}

// request is ask where descriptors are wanted.
func (s *session) request(ctx context.Context, r request.Request) (*request.Answer, []int, error) {
	r.From = s.from
	a, fds, err := request.Ask(ctx, s.socket, r, func(step string) { fmt.Fprintln(s.out, mconsole.Clean(step)) })
	if err == nil {
		err = a.Err()
	}
	if err != nil {
		for _, fd := range fds {
			unix.Close(fd)
		}
		return nil, nil, err
	}
	return a, fds, nil
}

// tell asks, and prints the answer.
func (s *session) tell(ctx context.Context, r request.Request) error {
	a, err := s.ask(ctx, r)
	if err == nil && a.Text != "" {
		fmt.Fprintln(s.out, strings.TrimSuffix(mconsole.Clean(a.Text), "\n"))
	}
	return err
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
