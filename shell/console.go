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

// A door is how the parts of the guest's console are had. The service holds a request
// that waits; one that it does not hold is not made again at once.
type door struct {
	s       *session
	channel string
	wait    bool // have it hold the next request until there is a console
	asked   time.Time
}

// pause is between two requests: the service counts them.
const pause = time.Second

// patience is how long a console is waited for in one go.
const patience = 24 * time.Hour

func (d *door) parts(ctx context.Context) (p console.Parts, err error) {
	select {
	case <-ctx.Done():
		return p, context.Cause(ctx)
	case <-time.After(time.Until(d.asked.Add(pause))):
	}
	d.asked = time.Now()
	_, fds, err := d.s.request(ctx, request.Request{Act: request.Console, Channel: d.channel, Wait: d.wait}, func(string) {})
	if err != nil {
		return p, err
	}
	if len(fds) != len(p) {
		packet.Close(fds)
		return p, fault.Temporary("%s: gave %d descriptors of the console, not %d", d.s.socket, len(fds), len(p))
	}
	return console.Parts(fds), nil
}

// find finds the guest. The first time it does not wait for it, so that the viewer
// is told that it is down.
func (d *door) find(ctx context.Context) (*console.Guest, error) {
	p, err := d.parts(ctx)
	d.wait = true
	if err != nil {
		return nil, err
	}
	return console.Given(d.s.machine, os.Getuid(), os.Getgid(), p, d.parts), nil
}

// escapes leave a console, with a dot after them. ssh takes the second, which is its
// own, for itself unless it is typed twice; other terminals that log in have none.
const escapes = "^] ~"

// view shows the console; before it has anything to show, the log.
func (s *session) view(ctx context.Context, d *door, wait bool, log *os.File) error {
	ctx, cancel := s.heard(ctx)
	defer cancel()
	escape := "none"
	if screen.Is(os.Stdin) {
		escape = escapes
		s.print("(Ctrl-] and a dot, at the beginning of a line, leave its console.)")
	}
	return console.View(ctx, console.Options{
		Program: Name, Channel: d.channel, Escape: escape, Plain: !s.terminal, Wait: wait, Linger: time.Second, Time: patience, Before: log,
		Find: d.find, Login: true,
	})
}

func (s *session) join(ctx context.Context, c *command, args []string) error {
	if len(args) > 1 {
		return c.usage()
	}
	name := "con1"
	if len(args) == 1 {
		name = args[0]
	}
	channel := channel(name)
	if !console.IsChannel(channel) {
		return fault.Usage.Permanent("%.40q is no console (con0 to con15, ssl0 to ssl63)", name)
	}
	return s.view(ctx, &door{s: s, channel: channel}, screen.Is(os.Stdin), nil)
}

// channel is the kernel's name for what may be called as the guest does, tty1, or by
// its number alone.
func channel(name string) string {
	if strings.Trim(name, "0123456789") == "" {
		return "con" + name
	}
	if n, ok := strings.CutPrefix(name, "ttyS"); ok {
		return "ssl" + n
	}
	if n, ok := strings.CutPrefix(name, "tty"); ok {
		return "con" + n
	}
	return name
}

// boot begins to listen to the log before the start, so that its first line is seen.
func (s *session) boot(ctx context.Context, c *command, args []string) error {
	m, err := s.standing(ctx, c, args)
	if err != nil {
		return err
	}
	d := &door{s: s, channel: "con1"}
	if m.State == "up" || m.State == "paused" {
		s.print("%s is up already: this is its console", m.Name)
		return s.view(ctx, d, true, nil)
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
	d.wait = true
	return s.view(ctx, d, true, log)
}
