package runscript

import (
	"errors"
	"fmt"
	"os"

	"uml/cgroup"
	"uml/fault"
	"uml/settings"
)

// settingOf is the setting that a controller keeps.
var settingOf = map[string]string{"cpu": "cpu", "io": "io", "memory": "overhead", "pids": "pids"}

// whose control groups count: those of a start are its guest's. Who only looks at a guest
// that runs looks at its.
func (s *start) whose() int {
	if s.seen != nil && len(s.seen.holders) > 0 {
		return s.seen.holders[0].PID
	}
	if s.seen != nil {
		return cgroup.Starter()
	}
	return os.Getpid()
}

// findGroups looks where the guest's control group can be.
func (s *start) findGroups() {
	if s.m.Groups == settings.GroupsNone {
		return
	}
	v, err := cgroup.Look(s.whose())
	if err == nil {
		s.groups, err = v.Tree()
	}
	if err == nil && s.groups.None() {
		err = fault.ShareLost.Permanent("%s", s.groups.Lost["cpu"])
	}
	if err != nil {
		s.groups, s.noGroups = nil, err
	}
}

func (s *start) share() *cgroup.Share {
	return &cgroup.Share{Machine: s.m, Files: s.on, Unswapped: s.m.Lock}
}

// shares says what the guest's group will be, and what of its settings cannot be kept.
func (s *start) shares() error {
	if s.m.Groups == settings.GroupsNone {
		return nil
	}
	if s.groups == nil {
		s.plan("group", "none: %v", s.noGroups)
		var all []cgroup.Lost
		for _, c := range cgroup.Controllers {
			all = append(all, cgroup.Lost{Controller: c, Why: s.noGroups.Error()})
		}
		return s.lose(all)
	}
	if s.DryRun {
		for _, l := range s.groups.Plan(s.share()) {
			s.plan("group", "%s", l)
		}
	}
	return s.lose(s.groups.Missing(s.share()))
}

// lose says what is lost that somebody has asked for. What is lost of the defaults only
// uml-check says: each start would.
func (s *start) lose(lost []cgroup.Lost) error {
	var errs []error
	for _, l := range lost {
		name := settingOf[l.Controller]
		switch {
		case s.m.Groups == settings.GroupsRequire:
			errs = append(errs, fault.ShareLost.Permanent("%s: is require, and %s cannot be kept: %s", s.dir.Join("settings/cgroup"), name, l.Why))
		case s.m.AsksShare(name):
			s.Say(fault.ShareLost, fmt.Sprintf("warning: %s cannot be kept: %s", s.dir.Join("settings/"+name), l.Why))
		}
	}
	return errors.Join(errs...)
}

// enterGroup moves this process, which will be the guest's kernel, into the guest's group.
// Its RAM is charged to that, since none is there yet. A start that fails is in it until it
// has exited.
func (s *start) enterGroup() error {
	if s.groups == nil {
		return nil
	}
	lost, err := s.groups.Enter(s.share())
	if err == nil && s.byGroup {
		err = s.stillUnswapped()
	}
	if err != nil && (s.byGroup || s.m.Groups == settings.GroupsRequire) {
		return err
	}
	if err != nil {
		s.Say(fault.ShareLost, fmt.Sprintf("warning: the guest has no share of its own: %v", err))
	}
	return s.lose(lost)
}

func (s *start) stillUnswapped() error {
	v, err := cgroup.Look(os.Getpid())
	if err != nil {
		return err
	}
	if group, err := v.Unswapped(); err != nil || group != "" {
		return err
	}
	return fault.HostNoNoswap.Permanent("%s: %s could not be kept out of swap", s.dir.Join("settings/lock"), s.groups.Group(s.m.Name))
}

// seeShares also finds a guest that runs outside of its group.
func (s *start) seeShares() error {
	switch {
	case s.m.Groups == settings.GroupsNone:
		s.seen.well("the guest shares with its supervisor: settings/cgroup is none")
		return nil
	case s.groups == nil:
		if s.m.Groups == settings.GroupsAuto {
			s.seen.well("none of its own")
		}
		return s.shares()
	}
	if v, err := cgroup.Look(s.whose()); err == nil && s.seen.State == Up && !v.In(s.m.Name) {
		s.seen.warn(fmt.Sprintf("the guest runs outside of its control group, %s (try: uml-ctl restart %s)", s.groups.Group(s.m.Name), s.m.Name))
	}
	s.seen.well("%s: cpu %s; io %s; memory %s; pids %s", s.groups.Group(s.m.Name), cpuShare(s.m.CPU), ioShare(s.m.IO), limit(s.m.Overhead, s.m.Mem+s.m.Overhead), limit(s.m.PIDs, s.m.PIDs))
	if not := s.groups.Weightless(s.share()); len(not) > 0 && s.m.IO.Weight != settings.DefaultWeight && s.groups.Lost["io"] == "" {
		s.seen.warn(fmt.Sprintf("%s: a weight has no effect on %v, where neither bfq schedules nor io.cost.qos is on", s.dir.Join("settings/io"), not))
	}
	return s.lose(s.groups.Missing(s.share()))
}

func cpuShare(c settings.CPUShare) string {
	if c.Limit == 0 {
		return fmt.Sprintf("weight %d", c.Weight)
	}
	return fmt.Sprintf("weight %d, limit %d.%02d", c.Weight, c.Limit/100, c.Limit%100)
}

func ioShare(i settings.IOShare) string {
	text := fmt.Sprintf("weight %d", i.Weight)
	if i.Limited() {
		text += ", limited"
	}
	return text
}

func limit[N settings.Size | int](set, is N) string {
	if set == 0 {
		return "any"
	}
	return fmt.Sprintf("up to %v", is)
}
