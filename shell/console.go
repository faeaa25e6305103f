package shell

import (
	"context"
	"os"
	"strings"
	"time"

	"uml/console"
	"uml/fault"
	"uml/packet"
	"uml/request"
	"uml/screen"
)

func (s *session) view(ctx context.Context, channel string, wait bool, before *os.File) error {
	parts := func(ctx context.Context) (console.Parts, error) { return s.parts(ctx, channel, wait) }
	return console.View(ctx, console.Options{
		Program: Name, Channel: channel, Plain: !screen.Is(os.Stdout), Wait: wait, Linger: time.Second, Time: patience, Before: before,
		Find: func(ctx context.Context) (*console.Guest, error) {
			p, err := parts(ctx)
			if err != nil {
				return nil, err
			}
			return console.Given(s.machine, os.Getuid(), os.Getgid(), p, parts), nil
		},
	})
}

// patience is how long a console is waited for in one go.
const patience = 24 * time.Hour

// parts asks for those of the guest.
func (s *session) parts(ctx context.Context, channel string, wait bool) (p console.Parts, err error) {
	_, fds, err := s.request(ctx, request.Request{Act: request.Console, Channel: channel, Wait: wait})
	if err != nil {
		return p, err
	}
	if len(fds) != len(p) {
		packet.Close(fds)
		return p, fault.Temporary("%s: gave %d descriptors of the console, not %d", s.socket, len(fds), len(p))
	}
	return console.Parts(fds), nil
}

func (s *session) join(ctx context.Context, c *command, args []string) error {
	if len(args) > 1 {
		return c.usage()
	}
	channel := "con1"
	if len(args) == 1 {
		channel = args[0]
		if strings.Trim(channel, "0123456789") == "" {
			channel = "con" + channel
		}
	}
	if !console.IsChannel(channel) {
		return fault.Permanent("%.40q is no console (con0 to con15, ssl0 to ssl63)", channel)
	}
	return s.view(ctx, channel, screen.Is(os.Stdin), nil)
}

// boot begins to listen to the log before the start, so that its first line is seen.
func (s *session) boot(ctx context.Context, c *command, args []string) error {
	m, err := s.standing(ctx, c, args)
	if err != nil {
		return err
	}
	if m.State == "up" {
		s.print("%s is up already: this is its console (~. leaves it)", m.Name)
		return s.view(ctx, "con1", true, nil)
	}
	log, err := s.openLog(ctx, request.Request{Act: request.Log, Follow: true})
	if err != nil {
		s.print("there is no log to show: %v", err)
	}
	if err := s.tell(ctx, request.Request{Act: request.Start}); err != nil {
		if log != nil {
			log.Close()
		}
		return err
	}
	return s.view(ctx, "con1", true, log)
}
