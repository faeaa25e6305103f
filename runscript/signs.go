package runscript

import (
	"context"
	"sync"
	"time"

	"uml/pace"
	"uml/probe"
	"uml/process"
)

// signs are those of life, by which guests are seen to have booted. One that has an
// address answers for it, if for nothing else then by ARP or a neighbour advertisement,
// which no firewall of its own drops: of Debian's boot some sixth is still to come. Its
// kernel answers on its console (mconsole) long before init is run, so one that has no
// network is watched for when it rests.
type signs struct {
	mu   sync.Mutex
	rest map[int]rest
}

func (s *signs) booted(ctx context.Context, pid int, g pace.Guest) bool {
	if !isKernel(pid) {
		return false
	}
	if len(g.Addresses) == 0 {
		return s.rests(pid)
	}
	until, _ := ctx.Deadline()
	r, err := probe.Ask(ctx, g.On, g.Addresses, time.Until(until)*9/10)
	return err == nil && len(r.Answers) > 0
}

// A rest is how much of a processor a kernel had taken when.
type rest struct {
	at  time.Time
	had time.Duration
}

// rests: it takes less than a tenth of a processor for a second.
func (s *signs) rests(pid int) bool {
	p, err := process.Look(pid)
	if err != nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	before, ok := s.rest[pid]
	since := time.Since(before.at)
	if ok && since < time.Second {
		return false
	}
	if s.rest == nil {
		s.rest = map[int]rest{}
	}
	s.rest[pid] = rest{time.Now(), p.Took}
	return ok && p.Took-before.had < since/10
}
