package netsetup

import (
	"maps"
	"slices"

	"uml/guard"
	"uml/settings"
)

// filterSteps: the filter forgets what is no TAP of the host's any more, and gets back
// what somebody else took from it (nft flush ruleset).
func (s *Survey) filterSteps(links []*link) error {
	if s.filter == nil {
		return nil
	}
	if err := s.refill(s.filter); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(s.filtered)) {
		if !slices.ContainsFunc(links, func(l *link) bool { return l.Name == name && s.keeps(l) }) {
			s.steps = append(s.steps, s.forgetStep(name))
		}
	}
	return nil
}

// findFilter is before the look at the links: of a guest that is being started the
// TAP is there before the filter knows it.
func (s *Survey) findFilter() error {
	f, err := s.guard()
	if err != nil {
		return nil // a kernel without it has nothing of ours
	}
	s.filtered, s.altered, err = f.Known()
	return err
}

// forgetStep looks once more whether there is such a TAP: one may have been made
// since.
func (s *Survey) forgetStep(tap string) Step {
	forget := expelStep(s.filter, tap)
	return Step{forget.Text, true, func(c *conn) error {
		l, err := c.link(tap)
		if err != nil || l != nil && l.LinkGroup == guard.Group {
			return err
		}
		return forget.do(c)
	}}
}

func (s *Survey) keeps(l *link) bool {
	o := s.ours[l.Index]
	return o == nil || !o.Gone || s.inUse(o)
}

// bridged: such a guest needs nothing of the external interface.
func (o *owned) bridged() bool {
	return o.Machine != nil && o.Machine.Net.Kind == settings.Bridged
}

func (s *Survey) refill(f *guard.Filter) error {
	looked := false
	for _, o := range s.sorted() {
		if o.LinkGroup != guard.Group || o.Machine == nil || !o.Machine.Guarded() || o.Machine.TAP != o.Name {
			continue
		}
		if !looked {
			looked = true
			steps, err := wholeSteps(f)
			if err != nil {
				return err
			}
			s.steps = append(s.steps, steps...)
		}
		if _, known := s.filtered[o.Name]; known && !slices.Contains(s.altered, o.Name) {
			continue
		}
		id := identity(o.Machine)
		lacks, err := f.Change(id)
		if err != nil {
			return err
		}
		s.steps = append(s.steps, admitSteps(f, id, lacks)...)
	}
	return nil
}
