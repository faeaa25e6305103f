package desk

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"uml/fault"
	"uml/logdir"
	"uml/packet"
	"uml/request"
	"uml/runscript"
	"uml/supervisor"
)

// An outcome is what an act came to.
type outcome struct {
	answer request.Answer
	fds    []int         // given to the asker with it, and closed
	note   string        // for the log: "" is done
	after  func() string // goes on when the asker has his answer; the note
}

// An ask is one that is being answered.
type ask struct {
	d *Desk
	c *conn
	a *account
	r request.Request
}

// answer answers one connection.
func (d *Desk) answer(c *conn, uid int) {
	began := time.Now()
	c.f.SetReadDeadline(began.Add(patience))
	b, err := c.receive()
	if errors.Is(err, errHungUp) {
		return
	}
	who := fmt.Sprintf("user %d", uid)
	var r request.Request
	if err == nil {
		r, err = request.Parse(b)
	}
	if err == nil {
		err = d.attend(c, uid, r, &who, began)
	}
	if err != nil {
		c.reply(request.Failed(err))
		d.journal.say(line(who, r, "refused: "+err.Error(), began))
	}
}

// attend does what is asked for. An error is that it was not begun.
func (d *Desk) attend(c *conn, uid int, r request.Request, who *string, began time.Time) error {
	a, err := d.identify(uid)
	if err != nil {
		return err
	}
	defer a.close()
	*who = a.name
	if a.name != a.machine {
		*who += " (" + a.machine + ")"
	}
	o, err := (&ask{d, c, a, r}).act()
	if err != nil {
		o = outcome{answer: request.Failed(plain(err)), note: "failed: " + err.Error()}
	}
	err = c.reply(o.answer, o.fds...)
	packet.Close(o.fds)
	note := o.note
	if o.after != nil { // of one who has not heard it ends at once
		note = o.after()
	}
	if note == "" {
		note = "done"
	}
	if err != nil {
		note += fmt.Sprintf("; not heard: %v", err)
	}
	d.journal.say(line(*who, r, note, began))
	if len(o.fds) > 0 && err == nil {
		c.hungUp()
	}
	return nil
}

// plain says what the asker can understand: he has no paths and no commands but his own.
// The log has it as it is.
func plain(err error) error {
	switch {
	case errors.Is(err, runscript.ErrDown):
		return fault.GuestDown.Temporary("%w", runscript.ErrDown)
	case errors.Is(err, logdir.ErrNone):
		return fault.Permanent("%w of it: the host's administrator can have one kept", logdir.ErrNone)
	case errors.Is(err, logdir.ErrEmpty):
		return fault.Temporary("%w", logdir.ErrEmpty)
	case errors.Is(err, supervisor.ErrNotRunning):
		return fault.SupervisorMissing.Temporary("nothing supervises it: the host's administrator can activate it")
	}
	return err
}

// line is an act's in the log.
func line(who string, r request.Request, note string, began time.Time) string {
	s := who + ": " + string(r.Act)
	for _, word := range []string{r.Key, r.Channel} {
		if word != "" {
			if strings.ContainsFunc(word, func(c rune) bool { return !('a' <= c && c <= 'z' || '0' <= c && c <= '9') }) {
				word = strconv.Quote(word) // it could read as an outcome
			}
			s += " " + word
		}
	}
	if r.Act == "" {
		s = who
	}
	s += fmt.Sprintf(": %s (%.1fs", note, time.Since(began).Seconds())
	if r.From != "" {
		s += ", from " + r.From
	}
	return s + ")"
}

// act does it.
func (k *ask) act() (outcome, error) {
	if err := k.a.still(); err != nil {
		return outcome{}, err
	}
	switch k.r.Act {
	case request.Login:
		return k.login()
	case request.Status:
		return k.status()
	case request.Start, request.Stop, request.Restart, request.Kill:
		return k.order()
	case request.CAD, request.SysRq:
		return k.word()
	case request.Console:
		return k.console()
	case request.Log:
		return k.log()
	case request.Keys, request.AddKey, request.DropKey:
		return k.keys()
	}
	return outcome{}, fault.Permanent("%s is not known here (is uml-shelld older than uml-shell?)", k.r.Act)
}
