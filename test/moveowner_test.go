package test

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"uml/test/lab"
)

// claimed says whether a host could start the machine, by what lies there.
func claimed(l *lab.Lab, name string) bool {
	dir := filepath.Join(l.Machines, name)
	_, there := os.Lstat(dir)
	_, moved := os.Lstat(filepath.Join(dir, "moved-to"))
	return there == nil && moved != nil
}

// owners are the hosts whose uml-run would start the guest, or has, or will when nothing is in the
// way any more.
func (p *twins) owners(name string) (all []int) {
	p.t.Helper()
	for i, l := range p.hosts {
		dir := filepath.Join(l.Machines, name)
		if _, err := os.Lstat(dir); err != nil {
			continue
		}
		r := l.RunIn(dir, "uml-run", "--dry-run")
		if may := r.Code != 100; may != claimed(l, name) {
			p.t.Errorf("%s on host %d: moved-to says %v, uml-run says %+v", name, i, !may, r)
		} else if may {
			all = append(all, i)
		}
	}
	return all
}

// A sentry looks all the time whether the guest has two owners, or runs twice.
type sentry struct {
	p    *twins
	name string
	runs [2]map[int]bool // kernels that were seen, as their host's processes
	stop func()

	mu    sync.Mutex
	wrong string
}

func (p *twins) sentry(name string) *sentry {
	s := &sentry{p: p, name: name, runs: [2]map[int]bool{{}, {}}}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for tick := time.Tick(5 * time.Millisecond); ; {
			select {
			case <-done:
				return
			case <-tick:
			}
			if wrong := s.look(); wrong != "" {
				s.mu.Lock()
				s.wrong = wrong
				s.mu.Unlock()
			}
		}
	}()
	s.stop = sync.OnceFunc(func() { close(done); <-ended })
	p.t.Cleanup(s.stop)
	return s
}

// said is what was seen, if it was.
func (s *sentry) said() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wrong
}

func (s *sentry) look() string {
	for i := range s.p.hosts {
		// Twice west, since one look is no moment: between it and the other the guest may have gone there.
		if l := s.p.hosts; claimed(l[i], s.name) && claimed(l[1-i], s.name) && claimed(l[i], s.name) {
			return "both hosts could start it"
		}
	}
	if a, b := s.running(0), s.running(1); len(a) > 0 && len(b) > 0 && len(s.running(0)) > 0 {
		return fmt.Sprintf("it runs on both hosts: %v, %v", a, b)
	}
	return ""
}

// running are a host's kernels of the guest: the one that supervise watches, and all that were
// seen before, whoever watches them now.
func (s *sentry) running(i int) (all []int) {
	l := s.p.hosts[i]
	if status, err := os.ReadFile(filepath.Join(l.Machines, s.name, "supervise/status")); err == nil && len(status) >= 16 {
		if pid := int(binary.LittleEndian.Uint32(status[12:])); pid != 0 {
			s.runs[i][pid] = true
		}
	}
	for pid := range s.runs[i] {
		exe, err := os.Readlink(l.Proc(pid, "exe"))
		switch {
		case err != nil:
			delete(s.runs[i], pid)
		case filepath.Base(exe) == "linux":
			all = append(all, pid)
		}
	}
	return all
}
