package runscript

import (
	"errors"
	"fmt"
	"net/netip"

	"uml/fault"
	"uml/netsetup"
	"uml/probe"
	"uml/settings"
)

// linkLocal is where every IPv6 host has an address of its hardware address.
var linkLocal = netip.MustParsePrefix("fe80::/64")

// Probed are the addresses that must be silent: those that the guest has, and on the
// external link the one that shows who has its hardware address.
func Probed(m *settings.Machine) []netip.Addr {
	if m.Net.Kind == settings.None {
		return nil
	}
	return append(m.Addresses(), m.Autoconfigured(linkLocal))
}

// AsksOn is the interface on which the machine's addresses are asked: its bridge, or
// the host's external one. A bridge may lead to nobody else: alone.
func AsksOn(m *settings.Machine, h *settings.Host) (on *netsetup.Interface, alone bool, err error) {
	if m.Net.Kind == settings.Bridged {
		return netsetup.Segment(m)
	}
	on, err = netsetup.External(h)
	return on, false, err
}

// judge refuses a start for an address that somebody has or is about to take, and
// for one that could not be asked at all. It says what else was not found out.
func (s *start) judge(r probe.Result, external *netsetup.Interface) error {
	var errs []error
	for _, u := range r.Unasked {
		what := Unasked(u, external.Name)
		switch {
		case what == "" || s.m.Net.Kind == settings.Bridged && !u.Blind: // on its bridge everybody hears ARP
		case u.Blind:
			errs = append(errs, fault.AddressUnasked.Temporary("%s, nor in any other way: its silence proves nothing", what))
		default:
			s.Say(fault.AddressUnasked, "warning: "+what)
		}
	}
	for _, a := range r.Elsewhere {
		s.Say(fault.AddressElsewhere, fmt.Sprintf("warning: %v: %v answered on %s in its place", a.Address, a.From, external.Name))
	}
	if len(r.Answers)+len(r.Rivals) == 0 {
		return errors.Join(errs...)
	}
	known := KnownOn(external, Probed(s.m))
	for _, a := range r.Answers {
		errs = append(errs, known.Occupied(a))
	}
	for _, a := range r.Rivals {
		errs = append(errs, known.Contested(a))
	}
	return errors.Join(errs...)
}

// Unasked says of what could not be asked. It is nothing for the link-local
// address: on a host without IPv6, or where it is off, that is no fault.
func Unasked(u probe.Unasked, external string) string {
	if u.Address.IsLinkLocalUnicast() && u.Address.Is6() {
		return ""
	}
	return fmt.Sprintf("%v: could not be asked on %s by %s: %v", u.Address, external, u.How, u.Why)
}

// Occupied is the fault of an address that answers though the guest is down.
func (k *Known) Occupied(a probe.Answer) error {
	what := "address"
	if a.Address.IsLinkLocalUnicast() && a.Address.Is6() {
		what = "hardware address (settings/mac)"
	}
	return fault.AddressAnswers.Temporary("%v: answers on %s (%s): the guest runs on another host, or another has its %s", a.Address, k.external, k.heard(a), what)
}

// Contested is the fault of an address that another host is about to use.
func (k *Known) Contested(a probe.Answer) error {
	return fault.AddressContested.Temporary("%v: another asks for it on %s at this moment (%s): the guest is being started on another host", a.Address, k.external, k.heard(a))
}

// heard is how an address was heard, and whose voice it was.
func (k *Known) heard(a probe.Answer) string {
	if a.MAC == nil {
		return a.How
	}
	voice := a.How + "; " + a.MAC.String()
	if who := k.who(a.MAC); who != "" {
		voice += " of " + who
	}
	return voice
}
