package radvd

import (
	"context"
	"errors"

	"uml/fault"
)

// maxTries bounds how often radvd is asked whom it refuses: enough for three of
// 10,000 machines.
const maxTries = 100

// sift has radvd judge what is wanted. If it refuses, for a reason that refuse does
// not know, machines whose sections are new or changed are tried in halves: those
// with which radvd refuses the file are at fault, and the others do without them.
func (c *comparison) sift(ctx context.Context) error {
	whole := c.check(ctx)
	var no refusal
	if !errors.As(whole, &no) {
		return whole
	}
	changed := c.changed()
	refused := map[string]error{}
	tries := maxTries
	var try func(some []link) error
	try = func(some []link) error {
		for _, l := range some {
			delete(refused, l.machine)
		}
		if tries--; tries < 0 {
			return whole
		}
		c.make(refused)
		err := c.check(ctx)
		if !errors.As(err, &no) {
			return err
		}
		for _, l := range some {
			refused[l.machine] = fault.ProgramFailed.Permanent("radvd refuses its section, interface %s: %w", l.TAP, no)
		}
		if len(some) == 0 {
			return whole // for what the administrator wrote, or what was there before
		}
		if len(some) == 1 {
			return nil
		}
		if err := try(some[:len(some)/2]); err != nil {
			return err
		}
		return try(some[len(some)/2:])
	}
	for _, l := range changed {
		refused[l.machine] = whole
	}
	err := try(nil)
	if err == nil {
		err = try(changed)
	}
	if err != nil {
		refused = nil
	}
	c.make(refused)
	return err
}

// changed are the machines that are to be advertised otherwise than before.
func (c *comparison) changed() (all []link) {
	was, is := map[string]string{}, map[string]bool{}
	for _, s := range c.parts.sections {
		was[s.tap] = s.String()
	}
	for _, s := range c.sections {
		if s.String() != was[s.tap] {
			is[s.machine] = true
		}
	}
	for _, l := range c.links {
		if l.err == nil && is[l.machine] {
			all = append(all, l)
		}
	}
	return all
}
