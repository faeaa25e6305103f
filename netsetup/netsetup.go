// Package netsetup gives a machine its network on the host, and takes it away: a
// TAP of the guest's user, routes of the guest's addresses to it, and the host
// answering ARP for them on the interface towards the network (paper 2.2.3, 4.2,
// 4.3). It speaks netlink, and starts no process itself; package firewall does, where
// the host's rules do not stand yet.
//
// All work is decided first, as a list of steps that holds only what is missing or
// too much, and then done. Every order of steps can be interrupted at any line: the
// routes to the TAP under our protocol number are the record of what may be
// published, so a route is there before its addresses are published, and goes
// after them.
//
// It acts in the network namespace of the calling thread: a caller that has
// changed it must have locked its goroutine to the thread.
//
// Not promised: forwarding and proxy_delay of the external interface, which all
// machines share, stay as Up made them. What was published on an interface that is
// external no more is found only by who lists all neighbours of our protocol.
package netsetup

import (
	"context"
	"fmt"
	"os"
	"strings"

	"uml/fault"
	"uml/settings"
)

// Protocol marks our routes and published neighbours (rtnetlink's RTPROT, "proto
// 117" of ip-route(8)): of the numbers 4 to 255, which the kernel leaves to
// programs, one that no routing daemon has in /etc/iproute2/rt_protos.
const Protocol = 117

// A Step is one change. Text is the command of ip(8) or sysctl(8) that does the
// same, or several, a line each.
type Step struct {
	Text  string
	Takes bool // takes something away

	do func(*conn) error
}

// short is one command for a step of several: those of the firewall's rules.
func (s Step) short() string {
	if strings.Contains(s.Text, "\n") {
		return "uml-net restore"
	}
	return s.Text
}

// Up gives the machine all of its network, and takes away what its settings name
// no more. What is right already is not touched. It returns what the caller has to
// announce.
func Up(ctx context.Context, m *settings.Machine, h *settings.Host) (p News, err error) {
	err = change(ctx, m, h, func(l *look) ([]Step, error) {
		steps, err := l.up()
		p = l.news()
		return steps, err
	})
	return p, err
}

// Prepare makes what all guests of the machine's kind share and no failed start takes
// back, the rules that hold them to their own addresses. It claims nothing, and can
// take seconds: so a start does it before it asks whether the addresses are free.
func Prepare(ctx context.Context, m *settings.Machine, h *settings.Host) error {
	_, err := prepare(m, h, func(c *conn, steps []Step) error { return c.run(ctx, steps) })
	return err
}

// PlanPrepare is what Prepare would do now.
func PlanPrepare(m *settings.Machine, h *settings.Host) ([]string, error) {
	return prepare(m, h, func(*conn, []Step) error { return nil })
}

func prepare(m *settings.Machine, h *settings.Host, do func(*conn, []Step) error) ([]string, error) {
	c, err := dial()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	l := &look{conn: c, m: m, h: h}
	steps, err := l.wholeSteps()
	if m.Net.Kind == settings.Routed {
		steps, err = l.rules()
	}
	if err != nil {
		return nil, err
	}
	return texts(steps), do(c, steps)
}

// Release takes the machine's routes and published neighbours away; the TAP
// stays. Nobody answers for its addresses then.
func Release(m *settings.Machine, h *settings.Host) error {
	return change(context.Background(), m, h, (*look).release)
}

// Down takes away all that Up gave. A TAP that is not the machine's is left alone.
func Down(m *settings.Machine, h *settings.Host) error {
	return change(context.Background(), m, h, (*look).down)
}

// Plan is what Up would do now, a command a line, and in a comment what is then
// announced. It changes nothing.
func Plan(m *settings.Machine, h *settings.Host) ([]string, error) {
	var p News
	lines, err := plan(m, h, func(l *look) ([]Step, error) {
		steps, err := l.up()
		p = l.news()
		return steps, err
	})
	return append(lines, p.comment()...), err
}

// StartPlan is what a start would do now: Release, and after the addresses were
// found silent Up, each a command a line.
func StartPlan(m *settings.Machine, h *settings.Host) (release, up []string, err error) {
	l, err := lookAt(m, h)
	if err != nil {
		return nil, nil, err
	}
	defer l.Close()
	first, err := l.release()
	if err != nil {
		return nil, nil, err
	}
	l.forget()
	second, err := l.up()
	return texts(first), append(texts(second), l.news().comment()...), err
}

// DownPlan is what Down would do now.
func DownPlan(m *settings.Machine, h *settings.Host) ([]string, error) {
	return plan(m, h, (*look).down)
}

func plan(m *settings.Machine, h *settings.Host, decide func(*look) ([]Step, error)) ([]string, error) {
	l, err := lookAt(m, h)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	steps, err := decide(l)
	return texts(steps), err
}

func change(ctx context.Context, m *settings.Machine, h *settings.Host, decide func(*look) ([]Step, error)) error {
	if os.Geteuid() != 0 {
		return fault.NeedRoot.Permanent("only root can change the host's network")
	}
	l, err := lookAt(m, h)
	if err != nil {
		return err
	}
	defer l.Close()
	steps, err := decide(l)
	if err != nil {
		return err
	}
	return l.run(ctx, steps)
}

func (c *conn) run(ctx context.Context, steps []Step) error {
	c.ctx = ctx
	for _, s := range steps {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := s.do(c); err != nil {
			if s.short() != s.Text { // the error says at which line
				return err
			}
			return fmt.Errorf("%s: %w", s.Text, err)
		}
	}
	return nil
}

func texts(steps []Step) []string {
	var all []string
	for _, s := range steps {
		all = append(all, strings.Split(s.Text, "\n")...)
	}
	return all
}
