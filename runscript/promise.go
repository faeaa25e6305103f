package runscript

import (
	"fmt"
	"math"

	"uml/fault"
	"uml/ledger"
	"uml/memory"
	"uml/settings"
)

// promise writes down in the host's ledger what RAM the guest may come to take (paper
// 2.2.1), if there is as much. It is done as soon as the lock is held, which proves that
// the guest's last promise is over.
//
// What is too much at present is 111, since other guests may end; what never fits is 100.
func (s *start) promise() error {
	ram, err := memory.OfHost()
	if err != nil {
		return err
	}
	p := &ledger.Promise{User: s.m.User.UID, Size: s.m.Mem + memory.Overhead, Locked: s.m.Lock}
	most := limits(ram, s.host)
	s.plan("ledger", "%v of RAM: mem %v and %v for the kernel, overcommit %s", p.Size, s.m.Mem, memory.Overhead, overcommit(s.host))
	others, fits, err := s.enterPromise(p, most)
	if err == nil && !fits && s.host.Overcommit == 0 && (!p.Locked || others.Locked+p.Size <= most.Locked) {
		s.Say(fault.MemoryShort, fmt.Sprintf("warning: with this guest %v of RAM are promised to %d guests, and the host has %v: they will be swapped out or killed (settings/mem of fewer, or %s)", round(others.All+p.Size), others.Guests+1, round(ram), s.host.File("overcommit")))
		most.All = math.MaxInt64
		others, fits, err = s.enterPromise(p, most)
	}
	if err != nil && s.host.Overcommit == 0 && !p.Locked {
		s.Say(fault.MemoryShort, fmt.Sprintf("warning: %v: not known how much RAM is promised", err))
		return nil
	}
	if err != nil || fits {
		return err
	}
	return s.overPromised(p, others, most)
}

func (s *start) enterPromise(p *ledger.Promise, most ledger.Sums) (others ledger.Sums, fits bool, err error) {
	if s.DryRun {
		all, err := s.standing()
		others = all.But(p.User)
		return others, p.Within(others, most), err
	}
	s.promised = p
	return p.Make(ledger.File, most)
}

// RoomFor says whether a start of a machine that is not here yet would have its RAM promised, as
// things are now; a note where it would only warn.
func RoomFor(m *settings.Machine, host *settings.Host, beside ...*settings.Machine) (note string, err error) {
	ram, err := memory.OfHost()
	if err != nil {
		return "", err
	}
	standing, err := ledger.Look(ledger.File)
	if err != nil {
		return "", err
	}
	others := standing.But(-1)
	for _, b := range beside {
		others.Guests++
		others.All += b.Mem + memory.Overhead
		if b.Lock {
			others.Locked += b.Mem + memory.Overhead
		}
	}
	p := &ledger.Promise{Size: m.Mem + memory.Overhead, Locked: m.Lock}
	most := limits(ram, host)
	if p.Within(others, most) {
		return "", nil
	}
	text := fmt.Sprintf("%v of RAM would be promised to %d guests that run, and the host has %v", round(others.All+p.Size), others.Guests+1, round(ram))
	if host.Overcommit == 0 && (!p.Locked || others.Locked+p.Size <= most.Locked) {
		return text, nil
	}
	return "", fault.MemoryShort.Temporary("%s (%s: %s)", text, host.File("overcommit"), overcommit(host))
}

// standing is found once for all machines that are examined.
func (s *start) standing() (ledger.Standing, error) {
	if s.seen != nil {
		return s.seen.round.promises()
	}
	return ledger.Look(ledger.File)
}

func limits(ram settings.Size, host *settings.Host) ledger.Sums {
	times := host.Overcommit
	if times == 0 {
		times = 1
	}
	return ledger.Sums{All: settings.Size(float64(ram) * times), Locked: ram}
}

// overcommit is the setting as it is written.
func overcommit(host *settings.Host) string {
	switch host.Overcommit {
	case 0:
		return "warn"
	case 1:
		return "no"
	}
	return fmt.Sprint(host.Overcommit)
}

func (s *start) overPromised(p *ledger.Promise, others, most ledger.Sums) error {
	mend := s.dir.Join("settings/mem")
	if p.Locked && others.Locked+p.Size > most.Locked {
		by := s.dir.Join("settings/lock")
		if p.Size > most.Locked {
			return fault.MemoryShort.Permanent("%s: the guest's %v of RAM, with its kernel's, are more than the host's %v (lower %s)", by, p.Size, round(most.Locked), mend)
		}
		return fault.MemoryShort.Permanent("%s: %v of RAM that stay out of swap are promised to guests that run, and with %v more it would be over the host's %v (lower %s, or end guests)", by, round(others.Locked), p.Size, round(most.Locked), mend)
	}
	by := s.host.File("overcommit") + ": " + overcommit(s.host)
	if p.Size > most.All {
		return fault.MemoryShort.Permanent("%s: the guest's %v of RAM, with its kernel's, are more than %v (lower %s)", by, p.Size, round(most.All), mend)
	}
	return fault.MemoryShort.Permanent("%s: %v of RAM are promised to %d guests that run, and with %v more it would be over %v (lower %s, or end guests)", by, round(others.All), others.Guests, p.Size, round(most.All), mend)
}
