package radvd

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"uml/fault"
	"uml/settings"
)

// A link is a machine's, as its settings say it, or why they do not.
type link struct {
	machine string
	settings.Link
	err error
}

// next is what is to be advertised when have was. A machine at fault keeps what it
// had; who has no prefix on an interface any more has the old one fade there. An
// interface that the administrator configures is his.
func next(have []section, links []link, taken map[string]bool, now time.Time) (want []section, faults []error) {
	now = now.Truncate(time.Second).UTC()
	was := map[string]section{}
	for _, s := range have {
		was[s.tap] = s
	}
	refuse(links, have, taken)
	kept, wants := map[string]bool{}, map[string]link{}
	for _, l := range links {
		switch {
		case l.err != nil:
			kept[l.machine] = true
			// To a supervisor of cron jobs it may pass: the rest is done.
			for _, e := range fault.Parts(l.err) {
				faults = append(faults, fault.Temporary("%s is advertised as before: %w", l.machine, e))
			}
		case l.IP6.IsValid():
			wants[l.TAP] = l
			was[l.TAP] = section{tap: l.TAP, prefix: was[l.TAP].prefix, gone: was[l.TAP].gone, machine: l.machine}
		}
	}
	for tap, s := range maps.All(was) {
		if taken[tap] {
			continue
		}
		p := wants[tap].IP6
		if kept[s.machine] {
			p = s.prefix
		}
		s.become(p, now)
		if !s.empty() {
			want = append(want, s)
		}
	}
	slices.SortFunc(want, func(a, b section) int {
		return cmp.Or(cmp.Compare(a.machine, b.machine), cmp.Compare(a.tap, b.tap))
	})
	return want, faults
}

// refuse finds the faults that no machine's settings show by themselves: radvd would
// refuse the whole file for an interface that it cannot be told of, or that stands
// twice. A machine that is refused holds on to what it had, which may be what
// another one wants: so again, until there is none.
func refuse(links []link, have []section, taken map[string]bool) {
	for more := true; more; {
		more = false
		bad := map[string]bool{}
		count := map[string]int{}
		for _, l := range links {
			bad[l.machine] = l.err != nil
			if l.err == nil && l.IP6.IsValid() {
				count[l.TAP]++
			}
		}
		held := map[string]string{}
		for _, s := range have {
			if bad[s.machine] && s.prefix.IsValid() {
				held[s.tap] = s.machine
			}
		}
		for i, l := range links {
			if l.err != nil || !l.IP6.IsValid() {
				continue
			}
			switch {
			case !tellable(l.TAP):
				l.err = fault.Permanent("radvd cannot be told of an interface named %q (give it another name: settings/tap)", l.TAP)
			case taken[l.TAP]:
				l.err = fault.Permanent("%s: the administrator's part of the file configures it too (take it out there)", l.TAP)
			case count[l.TAP] > 1:
				l.err = fault.Permanent("%s: another machine has this TAP too (give one another: settings/tap)", l.TAP)
			case held[l.TAP] != "":
				l.err = fault.Permanent("%s: is still advertised for %s, which has a fault", l.TAP, held[l.TAP])
			}
			links[i], more = l, more || l.err != nil
		}
	}
}
