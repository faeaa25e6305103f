package desk

import (
	"context"
	"time"

	"uml/console"
	"uml/fault"
	"uml/mconsole"
	"uml/runscript"
)

// lookAgain is how often is looked for a terminal that is waited for.
const lookAgain = 250 * time.Millisecond

// console gives the asker what he needs to view a console of his guest himself: no
// byte of it passes through here.
func (k *ask) console() (outcome, error) {
	channel := k.r.Channel
	if channel == "" {
		channel = "con1"
	}
	if !console.IsChannel(channel) {
		return outcome{}, fault.Permanent("%q is no console (con0 to con15, ssl0 to ssl63)", mconsole.Clean(channel))
	}
	ctx, end := k.c.watched()
	defer end()
	for {
		p, err := k.parts(ctx, channel)
		if err == nil {
			return outcome{fds: p[:]}, nil
		}
		if !k.r.Wait || fault.Code(err) != fault.MayPass {
			return outcome{}, err
		}
		select {
		case <-ctx.Done():
			return outcome{}, context.Cause(ctx)
		case <-time.After(lookAgain):
		}
	}
}

func (k *ask) parts(ctx context.Context, channel string) (console.Parts, error) {
	ctx, cancel := context.WithTimeout(ctx, answers)
	defer cancel()
	if err := k.a.still(); err != nil {
		return console.Parts{}, err
	}
	g, err := runscript.Console(k.a.real, channel)
	if err != nil {
		return console.Parts{}, err
	}
	defer g.Close()
	p, err := g.Parts(ctx, channel)
	if err != nil {
		return console.Parts{}, err
	}
	if err := k.a.still(); err != nil {
		p.Close()
		return console.Parts{}, err
	}
	return p, nil
}
