package check

import (
	"context"
	"net/netip"

	"uml/netsetup"
	"uml/probe"
	"uml/runscript"
	"uml/settings"
)

// A segment is a network on which machines' addresses are asked: that of the
// external interface, or a bridge's.
type segment struct {
	bridged  bool
	on       *netsetup.Interface
	err      error
	machines []*machine
}

// segments parts the machines by the network that they are on. Of a bridge that
// leads to no network there is nobody to ask.
func (c *checker) segments(all []*machine) (list []*segment) {
	by := map[settings.Net]*segment{}
	for _, m := range all {
		net := m.Machine.Net
		s := by[net]
		if s == nil {
			on, alone, err := runscript.AsksOn(m.Machine, c.h)
			s = &segment{bridged: net.Kind == settings.Bridged, on: on, err: err}
			by[net] = s
			if !alone {
				list = append(list, s)
			}
		}
		s.machines = append(s.machines, m)
	}
	return list
}

// askUp asks bridged guests that are up as a start would: their host need have no
// address on the bridge.
func (c *checker) askUp(ctx context.Context, s *segment) {
	var all []netip.Addr
	for _, m := range s.machines {
		all = append(all, m.Addresses...)
	}
	var result probe.Result
	err := s.err
	if err == nil {
		result, err = probe.Ask(ctx, s.on.Name, all, c.h.PingTimeout)
	}
	if err != nil {
		for _, m := range s.machines {
			m.fail("addresses", err)
		}
		return
	}
	answered := map[netip.Addr]error{}
	for _, a := range all {
		answered[a] = errSilent
	}
	for _, a := range result.Answers {
		answered[a.Address] = nil
	}
	for _, m := range s.machines {
		judgeAnswers(m, "a ping, ARP or a solicitation", answered, c.h.PingTimeout)
	}
}
