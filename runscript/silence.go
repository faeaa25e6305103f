package runscript

import (
	"errors"
	"fmt"

	"uml/fault"
	"uml/probe"
)

// judge refuses a start for an address that somebody has or is about to take, and
// says what could not be found out.
func (s *start) judge(r probe.Result, external string) error {
	for _, u := range r.Unasked {
		s.Say(fmt.Sprintf("warning: %v: could not be asked on %s by %s: %v", u.Address, external, u.How, u.Why))
	}
	for _, a := range r.Elsewhere {
		s.Say(fmt.Sprintf("warning: %v: %v answered on %s in its place", a.Address, a.From, external))
	}
	var errs []error
	for _, a := range r.Answers {
		errs = append(errs, Occupied(a, external))
	}
	for _, a := range r.Rivals {
		errs = append(errs, Contested(a, external))
	}
	return errors.Join(errs...)
}

// Occupied is the fault of an address that answers though the guest is down.
func Occupied(a probe.Answer, external string) error {
	return fault.Temporary("%v: answers on %s (%s): the guest runs on another host, or another has its address", a.Address, external, heard(a))
}

// Contested is the fault of an address that another host is about to use.
func Contested(a probe.Answer, external string) error {
	return fault.Temporary("%v: another asks for it on %s at this moment (%s): the guest is being started on another host", a.Address, external, heard(a))
}

// heard is how an address was heard, and whose voice it was.
func heard(a probe.Answer) string {
	if a.MAC == nil {
		return a.How
	}
	return a.How + "; " + a.MAC.String()
}
