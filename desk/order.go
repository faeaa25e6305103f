package desk

import (
	"context"
	"fmt"
	"strings"
	"time"

	"uml/fault"
	"uml/mconsole"
	"uml/request"
	"uml/runscript"
	"uml/service"
)

const (
	// shutdown is how long a guest has to end by itself.
	shutdown = time.Minute
	// tell is how often is told that it takes its time.
	tell    = 5 * time.Second
	started = "its supervisor was told to start it"
	// answers is how long a guest's kernel has for one.
	answers = 10 * time.Second
)

// order starts or stops the machine. What was begun goes on when the asker hangs up.
func (k *ask) order() (outcome, error) {
	act := k.r.Act
	done, err := k.d.busy.begin(k.a.real, "a "+string(act))
	if err != nil {
		return outcome{}, err
	}
	defer done()
	if act == request.Start || act == request.Restart {
		if err := k.d.noStart("no guest starts now: "); err != nil {
			return outcome{}, err
		}
	}
	m, err := service.Open(k.a.real, k.d.service)
	if err != nil {
		return outcome{}, err
	}
	defer m.Close()
	if err := k.a.still(); err != nil { // it was opened by its path
		return outcome{}, err
	}
	text := started
	if act != request.Start {
		s, err := k.stop(m)
		if err != nil {
			return outcome{}, err
		}
		text = s.Line(m.Name)
	}
	note := strings.TrimPrefix(text, m.Name+": ")
	if act == request.Restart {
		text += "; " + started
	}
	if act == request.Start || act == request.Restart {
		if err := m.Up(); err != nil {
			return outcome{}, err
		}
	}
	return outcome{answer: request.Answer{Text: text}, note: note}, nil
}

func (k *ask) stop(m *service.Machine) (service.Stopped, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if k.r.Act == request.Kill {
		return m.Kill(ctx)
	}
	go func() {
		began := time.Now()
		k.step(fmt.Sprintf("asked to shut down; after %v it is ended", shutdown))
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(tell):
				k.step(fmt.Sprintf("still shutting down after %v", time.Since(began).Round(time.Second)))
			}
		}
	}()
	return m.Stop(ctx, shutdown)
}

// step tells how far an act is. Nobody has to hear it.
func (k *ask) step(text string) { k.c.reply(request.Answer{Step: text}) }

// word sends the guest's kernel one.
func (k *ask) word() (outcome, error) {
	var args []string
	if k.r.Key != "" {
		args = []string{k.r.Key}
	}
	command, err := mconsole.Command(string(k.r.Act), args)
	if err != nil {
		return outcome{}, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), answers)
	defer cancel()
	text, err := runscript.Ask(ctx, k.a.real, command)
	if ctx.Err() != nil {
		err = fault.GuestSilent.Temporary("the guest's kernel does not answer: %w", err)
	}
	return outcome{answer: request.Answer{Text: mconsole.Clean(strings.Trim(text, "\n"))}}, err
}
