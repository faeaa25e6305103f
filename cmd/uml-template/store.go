package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/urfave/cli/v2"

	"uml/builder"
	"uml/cmdline"
	"uml/fault"
	"uml/template"
	"uml/tool"
)

func printMade(t *template.Template) error {
	_, err := fmt.Println(t.Full())
	return err
}

func encode(v any) error {
	e := json.NewEncoder(os.Stdout)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func list(c *cli.Context, _ []string) error {
	s, err := template.Open(c.String("templates"))
	if err != nil {
		return err
	}
	all, err := s.All() // what can be read is printed
	if c.Bool("json") {
		if all == nil {
			all = []*template.Template{}
		}
		return errors.Join(err, encode(all))
	}
	for _, line := range template.Table(all) {
		fmt.Println(line)
	}
	return err
}

func show(c *cli.Context, args []string) error {
	s, err := template.Open(c.String("templates"))
	if err != nil {
		return err
	}
	t, err := s.Find(args[0])
	if err != nil {
		return err
	}
	switch {
	case c.Bool("json"):
		return encode(t)
	case c.Bool("packages"):
		for _, p := range t.Packages {
			fmt.Println(fault.Line(p.Name), fault.Line(p.Version))
		}
		return nil
	}
	users, err := t.Users(c.String("machines"))
	for _, line := range t.Lines(users) {
		fmt.Println(line)
	}
	return err
}

func verify(c *cli.Context, args []string) error {
	s, err := template.Open(c.String("templates"))
	if err != nil {
		return err
	}
	var all []*template.Template
	if len(args) == 0 {
		all, err = s.All()
	}
	errs := []error{err}
	for _, name := range args {
		some, err := s.Named(name)
		all, errs = append(all, some...), append(errs, err)
	}
	var as tool.Runner
	if os.Geteuid() == 0 {
		as.UID, as.GID = builder.Runner()
	}
	for _, t := range all {
		told, done := work(c)("verify "+t.Full(), t.Size)
		err := t.Verify(c.Context, as, told)
		done()
		if err == nil {
			fmt.Println(t.Full() + ": is as it was made, and sound")
		}
		if errs = append(errs, err); c.Context.Err() != nil {
			break
		}
	}
	return errors.Join(errs...)
}

func remove(c *cli.Context, args []string) error {
	if len(args) == 0 {
		return fault.Usage.Permanent("it takes NAME... (see --help)")
	}
	s, err := locked(c)
	if err != nil {
		return err
	}
	defer s.lock.Close()
	var errs []error
	for _, name := range args {
		errs = append(errs, s.remove(c, name))
	}
	return errors.Join(errs...)
}

// A store is one that is locked.
type store struct {
	*template.Store
	lock *os.File
}

func locked(c *cli.Context) (s store, err error) {
	if err := root(); err != nil {
		return s, err
	}
	if s.Store, err = template.Open(c.String("templates")); err != nil {
		return s, err
	}
	s.lock, err = s.Lock()
	return s, err
}

func (s store) remove(c *cli.Context, name string) error {
	all, err := s.Named(name)
	if err != nil {
		return err
	}
	last := len(all) - 1
	if !c.Bool("old") {
		if last > 0 {
			return fault.Usage.Permanent("%s: there are %d of it (say NAME@STAMP, or --old for all but the newest)", name, len(all))
		}
		return all[0].Remove(c.String("machines"))
	}
	var errs []error
	for _, t := range all[:last] {
		errs = append(errs, t.Remove(c.String("machines")))
	}
	return errors.Join(errs...)
}

func gc(c *cli.Context, _ []string) error {
	s, err := locked(c)
	if err != nil {
		return err
	}
	defer s.lock.Close()
	swept, err := s.Sweep()
	for _, name := range swept {
		cmdline.Say(prog)("removed " + name)
	}
	return err
}
