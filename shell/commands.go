package shell

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"uml/fault"
	"uml/request"
)

// A command is one that a customer can give.
type command struct {
	name    string
	args    string
	summary string
	more    string   // of help COMMAND
	next    []string // words that may follow, for completion
	run     func(*session, context.Context, *command, []string) error
}

var commands []command

func init() { // help names them all
	commands = []command{
		{name: "status", summary: "how the guest stands", run: (*session).status},
		{name: "start", summary: "start it, and again whenever it ends", run: only(request.Start)},
		{name: "stop", summary: "shut it down, and keep it down",
			more: "The guest's init is asked to shut it down, as by Ctrl-Alt-Del, and given a minute. A guest\nthat has not ended by then is ended; what it had not written to its discs is lost.",
			run:  only(request.Stop)},
		{name: "restart", summary: "stop, then start", run: only(request.Restart)},
		{name: "kill", summary: "end it at once, as a power cut would",
			more: "What the guest has not written to its discs is lost, and its next start checks its\nfilesystems. For a guest that hangs, when stop does not end it.",
			run:  only(request.Kill)},
		{name: "boot", summary: "start it, and watch it come up at its console", more: leaving, run: (*session).boot},
		{name: "console", args: "[con1]", summary: "sit down at its console",
			more: "The console that a keyboard and a screen would be. It needs no network: this is the place\nto mend a guest that cannot be reached. Others of this account see and type the same.\n" + leaving,
			next: []string{"con1", "con2", "con3"}, run: (*session).join},
		{name: "log", args: "[-f] [-n LINES]", summary: "what its kernel and its starts said",
			more: "The last 20 lines, or so many; with -f what is added too, until Ctrl-C.", next: []string{"-f", "-n"}, run: (*session).log},
		{name: "discs", summary: "its discs, and what they take", run: (*session).discs},
		{name: "memory", summary: "its memory, and what it takes", run: (*session).memory},
		{name: "addresses", summary: "its addresses", run: (*session).addresses},
		{name: "cad", summary: "press Ctrl-Alt-Del: most guests shut down, and are started again", run: only(request.CAD)},
		{name: "sysrq", args: "LETTER", summary: "a word to its kernel, where its init does not hear",
			more: "s writes its discs back, u makes them read-only, b reboots at once, h tells in its log what\nthere is. To save what can be saved of a guest that hangs: s, u, b.", next: []string{"b", "h", "s", "u"}, run: (*session).sysrq},
		{name: "keys", args: "list | add KEY | remove FINGERPRINT", summary: "the keys that log in here",
			more: "KEY is a line of a .pub file, such as: ssh-ed25519 AAAA... me@home", next: []string{"add", "list", "remove"}, run: (*session).keys},
		{name: "help", args: "[COMMAND]", summary: "this, or more about a command", run: (*session).help},
		{name: "exit", summary: "log out", run: func(*session, context.Context, *command, []string) error { return errExit }},
	}
}

const leaving = "Typed at the beginning of a line, ~. leaves it; the guest goes on."

// only is a command that asks for the act, and is told how it went.
func only(act request.Act) func(*session, context.Context, *command, []string) error {
	return func(s *session, ctx context.Context, c *command, args []string) error {
		if len(args) > 0 {
			return c.usage()
		}
		return s.tell(ctx, request.Request{Act: act})
	}
}

func (s *session) sysrq(ctx context.Context, c *command, args []string) error {
	if len(args) != 1 || len(args[0]) != 1 {
		return c.usage()
	}
	return s.tell(ctx, request.Request{Act: request.SysRq, Key: args[0]})
}

func (s *session) keys(ctx context.Context, c *command, args []string) error {
	switch {
	case len(args) == 1 && args[0] == "list":
		return s.tell(ctx, request.Request{Act: request.Keys})
	case len(args) > 2 && args[0] == "add":
		return s.tell(ctx, request.Request{Act: request.AddKey, Line: strings.Join(args[1:], " ")})
	case len(args) == 2 && args[0] == "remove":
		return s.tell(ctx, request.Request{Act: request.DropKey, Line: args[1]})
	}
	return c.usage()
}

func (s *session) help(_ context.Context, c *command, args []string) error {
	switch len(args) {
	case 0:
		for _, c := range commands {
			fmt.Fprintf(s.out, "  %-10s %s\n", c.name, c.summary)
		}
		return nil
	case 1:
		c, err := find(args[0])
		if err != nil {
			return err
		}
		fmt.Fprintf(s.out, "%s: %s.\n", strings.TrimSpace(c.name+" "+c.args), c.summary)
		if c.more != "" {
			fmt.Fprintln(s.out, c.more)
		}
		return nil
	}
	return c.usage()
}

func number(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > request.MaxLines || strconv.Itoa(n) != text {
		return 0, fault.Permanent("-n: %q is no number of lines (0 to %d)", text, request.MaxLines)
	}
	return n, nil
}
