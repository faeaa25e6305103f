package shell

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"uml/fault"
	"uml/mconsole"
	"uml/packet"
	"uml/request"
)

// A command is one that a customer can give.
type command struct {
	name    string
	also    []string // other names
	args    string
	summary string
	more    string   // of help COMMAND
	next    []string // words that may follow, for completion
	run     func(*session, context.Context, *command, []string) error
}

var commands []command

func init() { // help names them all
	commands = []command{
		{name: "status", summary: "how the guest stands", run: (*session).status,
			more: "States: down; waiting (for what is said), starting, up; paused, by the host's\nadministrator; stopping; failing: its starts fail, and the log says why."},
		{name: "start", summary: "start it, and again whenever it ends", run: only(request.Start),
			more: "Returns when its start has begun: status and log say how it goes on, boot shows it.\nOne that is up stays as it is."},
		{name: "stop", summary: "shut it down, and keep it down", run: only(request.Stop),
			more: "Its init is asked to shut it down, as by Ctrl-Alt-Del, and given a minute. A guest that has\nnot ended by then is ended; what it had not written to its discs is lost. The answer says which\nit was: clean is what you want. Ctrl-C ends the wait for it, and not the stop."},
		{name: "restart", summary: "stop, then start", run: only(request.Restart),
			more: "Both as the commands of these names. To reboot from within needs no host: reboot there."},
		{name: "kill", summary: "end it at once: a power cut", run: only(request.Kill),
			more: "What was written in the last half minute and is not on its discs yet is lost; databases have\nto recover, and its next start checks its filesystems. It stays down. For a guest that hangs,\nwhen stop does not end it; sysrq s and sysrq u before it save what can be saved."},
		{name: "console", args: "[con1]", summary: "sit down at its console", run: (*session).join,
			next: []string{"con0", "con1", "con2", "con3", "ssl0", "ssl1"},
			more: "The keyboard and the screen that it would have. It needs no network: this is the place to mend\na guest that cannot be reached. 1 is con1, and so is tty1; ttyS0, a serial one, is ssl0. When\nthe guest reboots it waits and comes back. Others of this account see and type the same.\n" + leaving},
		{name: "boot", summary: "start it, and watch it come up at its console", run: (*session).boot,
			more: "Shows the log, from its kernel's first line, until the console says something or something is\ntyped; from then on it is the command console. One that is up stays as it is.\n" + leaving},
		{name: "log", args: "[-f] [-n LINES]", summary: "what its kernel and its starts said", run: (*session).log,
			next: []string{"-f", "-n"},
			more: "The last 20 lines, or so many; with -f also what is added, until Ctrl-C."},
		{name: "discs", summary: "its discs, and what they take", run: (*session).discs,
			more: "How large each is to the guest, and how much of that is in use on the host. Its own df tells\nhow full its filesystems are."},
		{name: "memory", summary: "its memory, and what it takes", run: (*session).memory,
			more: "What it was started with, and how much of that is in use on the host, its caches too. Its own\nfree tells what is left."},
		{name: "addresses", summary: "its addresses", run: (*session).addresses,
			more: "Those that the host lets through to it. What it has set itself, its own ip addr tells."},
		{name: "cad", summary: "press Ctrl-Alt-Del", run: only(request.CAD),
			more: "Most guests shut down at that and, since the host starts them again, reboot. One whose init does\nnot run yet reboots at once, nothing written back."},
		{name: "sysrq", args: "LETTER", summary: "a word to its kernel, where its init does not hear", run: (*session).sysrq,
			next: []string{"b", "h", "s", "u"},
			more: "s has it write back what is not on its discs yet, u makes them read-only, b reboots it at once,\nh lists them in its log. To save what can be saved of a guest that hangs: s, u, then kill."},
		{name: "keys", args: "list | add KEY | remove FINGERPRINT", summary: "the keys that log in here", run: (*session).keys,
			next: []string{"add", "list", "remove"},
			more: "KEY is the one line of a .pub file, such as: ssh-ed25519 AAAA... me@home\nFINGERPRINT is what list shows: SHA256:... Not every host lets its accounts change their keys."},
		{name: "help", args: "[COMMAND]", summary: "this, or more about a command", run: (*session).help},
		{name: "exit", also: []string{"quit", "logout"}, summary: "log out; the guest goes on", run: func(_ *session, _ context.Context, c *command, args []string) error {
			if len(args) > 0 {
				return c.usage()
			}
			return errExit
		}},
	}
}

const leaving = "To leave, type Ctrl-] and then a dot at the beginning of a line; the guest goes on. (~. will do too,\nbut ssh keeps that for itself and would log you out: there it is ~~.)"

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
		fmt.Fprintf(s.out, "%s: %s.\n", c.form(), c.summary)
		if c.more != "" {
			fmt.Fprintln(s.out, c.more)
		}
		return nil
	}
	return c.usage()
}

// tell asks, shows how it goes on, and prints the answer.
func (s *session) tell(ctx context.Context, r request.Request) error {
	p := s.progress(string(r.Act))
	a, fds, err := s.request(ctx, r, p.say)
	p.end()
	packet.Close(fds)
	if err == nil && a.Text != "" {
		fmt.Fprintln(s.out, strings.TrimSuffix(mconsole.Clean(a.Text), "\n"))
	}
	return err
}

func number(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > request.MaxLines || strconv.Itoa(n) != text {
		return 0, fault.Usage.Permanent("-n: %q is no number of lines (0 to %d)", text, request.MaxLines)
	}
	return n, nil
}
