package pace

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"uml/pressure"
	"uml/process"
	"uml/settings"
)

// A host has one slot, and what of pressure a test gives it.
type host struct {
	t    testing.TB
	dir  string
	pace atomic.Pointer[settings.Pace]
	high atomic.Bool  // pressure is over its limit
	up   atomic.Int64 // the user whose guest answers
	next int
}

func newHost(t testing.TB, slots int) *host {
	h := &host{t: t, dir: filepath.Join(t.TempDir(), "pace")}
	h.pace.Store(&settings.Pace{Slots: slots, Limit: time.Hour, CPU: 80, IO: 60, Memory: 20})
	return h
}

// start is one of a process of its own, which the test may end.
func (h *host) start(priority int) (Start, *exec.Cmd) {
	h.t.Helper()
	p := exec.Command("sleep", "1000")
	if err := p.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { p.Process.Kill(); p.Wait() })
	s, err := process.Look(p.Process.Pid)
	if err != nil {
		h.t.Fatal(err)
	}
	h.next++
	return Start{
		Guest: Guest{User: 1000 + h.next}, Priority: priority, Dir: h.dir,
		Pace:   func() settings.Pace { return *h.pace.Load() },
		Booted: func(_ context.Context, _ int, g Guest) bool { return int64(g.User) == h.up.Load() },
		Waits:  func(int, int, string) {},
		own:    process.ID{PID: p.Process.Pid, Start: s.Start},
		pressure: func() (pressure.Some, error) {
			if h.high.Load() {
				return pressure.Some{CPU: 90}, nil
			}
			return pressure.Some{}, nil
		},
	}, p
}

// at once: the start is to go on without waiting.
func (h *host) atOnce(s Start) *Slot {
	h.t.Helper()
	slot, waited, err := Take(h.t.Context(), s)
	if waited || err != nil {
		h.t.Fatalf("waited: %v, %v", waited, err)
	}
	return slot
}

// A waiter is a start that waits in the background.
type waiter struct {
	h      *host
	end    context.CancelFunc
	done   chan error
	slot   *Slot
	waited bool
}

func (h *host) wait(s Start) *waiter {
	h.t.Helper()
	ctx, end := context.WithCancel(h.t.Context())
	w := &waiter{h: h, end: end, done: make(chan error, 1)}
	told := make(chan struct{})
	s.Waits = func(int, int, string) { close(told) }
	go func() {
		var err error
		w.slot, w.waited, err = Take(ctx, s)
		w.done <- err
	}()
	select {
	case <-told:
	case err := <-w.done:
		h.t.Fatalf("it did not wait: %v, %v", w.slot, err)
	case <-time.After(time.Minute):
		h.t.Fatal("it neither waits nor goes on")
	}
	return w
}

// goes on: within the patience of a test.
func (w *waiter) goesOn() *Slot {
	w.h.t.Helper()
	select {
	case err := <-w.done:
		if err != nil || !w.waited {
			w.h.t.Fatalf("waited: %v, %v", w.waited, err)
		}
	case <-time.After(time.Minute):
		w.h.t.Fatal("it waits for ever")
	}
	return w.slot
}

func (w *waiter) waits() {
	w.h.t.Helper()
	select {
	case err := <-w.done:
		w.h.t.Fatalf("it went on: %v, %v", w.slot, err)
	case <-time.After(3 * look):
	}
}

func (h *host) names() (all []string) {
	entries, _ := os.ReadDir(h.dir)
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

func TestOrder(t *testing.T) {
	h := newHost(t, 1)
	first, kernel := h.start(50)
	h.atOnce(first)
	var all []*waiter
	for _, priority := range []int{50, 10, 50, 90} {
		s, _ := h.start(priority)
		all = append(all, h.wait(s))
	}
	standing, err := Look(h.dir)
	if err != nil || len(standing.Waiting) != 4 || standing.Why != "a slot" || standing.Booting(time.Hour) != 1 {
		t.Errorf("got %+v, %v", standing, err)
	}
	kernel.Process.Kill()
	kernel.Wait()
	for _, i := range []int{3, 0, 2, 1} {
		slot := all[i].goesOn()
		for _, w := range all {
			select {
			case err := <-w.done:
				t.Errorf("%d: two have the slot: %v", i, err)
			default:
			}
		}
		if err := slot.Close(); err != nil {
			t.Error(err)
		}
	}
	if left := h.names(); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

// A guest's slot is free when it answers, and when it has had its time.
func TestFree(t *testing.T) {
	h := newHost(t, 1)
	a, _ := h.start(50)
	b, _ := h.start(50)
	c, _ := h.start(50)
	h.atOnce(a)
	w := h.wait(b)
	h.up.Store(int64(a.User))
	w.goesOn()
	w = h.wait(c)
	p := *h.pace.Load()
	p.Limit = time.Millisecond
	h.pace.Store(&p)
	w.goesOn()
}

// Of those who come together the one of most priority is the first, though another came before.
func TestGather(t *testing.T) {
	h := newHost(t, 1)
	first, _ := h.start(50)
	first.Gather = 2 * time.Second
	told := make(chan struct{})
	first.Waits = func(int, int, string) { close(told) }
	ctx, end := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { _, _, err := Take(ctx, first); done <- err }()
	for deadline := time.Now().Add(time.Minute); len(h.names()) == 0; time.Sleep(look / 10) {
		if time.Now().After(deadline) {
			t.Fatal("it does not come")
		}
	}
	if names := h.names(); !strings.HasPrefix(names[0], waits) {
		t.Fatalf("it is not in the queue: %q", names)
	}
	second, _ := h.start(99)
	h.atOnce(second)
	select {
	case <-told:
	case err := <-done:
		t.Fatalf("it did not wait: %v", err)
	case <-time.After(time.Minute):
		t.Fatal("it neither waits nor goes on")
	}
	end()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// A start that finds a guest which has booted, and whom nobody has looked at since, does
// not wait; nor does one alone, whatever the pressure.
func TestAlone(t *testing.T) {
	h := newHost(t, 1)
	h.high.Store(true)
	a, _ := h.start(50)
	b, _ := h.start(50)
	h.atOnce(a)
	h.up.Store(int64(a.User))
	h.atOnce(b)
}

// Pressure holds back who comes while another boots, until that one has booted.
func TestPressure(t *testing.T) {
	h := newHost(t, 3)
	h.high.Store(true)
	a, _ := h.start(50)
	b, _ := h.start(50)
	c, _ := h.start(50)
	slot := h.atOnce(a)
	w := h.wait(b)
	if s, err := Look(h.dir); err != nil || s.Why != "pressure cpu 90 > 80" {
		t.Errorf("got %+v, %v", s, err)
	}
	other := h.wait(c)
	w.waits()
	h.high.Store(false)
	w.goesOn()
	other.goesOn()
	h.high.Store(true)
	d, _ := h.start(50)
	w = h.wait(d)
	for _, s := range []*Slot{slot, w.slot, other.slot} {
		s.Close()
	}
	h.up.Store(int64(b.User))
	w.goesOn()
}

func TestJudge(t *testing.T) {
	pace := settings.Pace{Slots: 2, Limit: time.Minute, CPU: 80, IO: 60, Memory: 20}
	low, high := func() (pressure.Some, error) { return pressure.Some{}, nil }, func() (pressure.Some, error) { return pressure.Some{IO: 61}, nil }
	none := func() (pressure.Some, error) { return pressure.Some{}, pressure.ErrNone }
	for _, c := range []struct {
		boots    int
		pressure func() (pressure.Some, error)
		want     string
	}{
		{0, high, ""},
		{1, low, ""},
		{1, high, "pressure io 61 > 60"},
		{1, none, ""},
		{2, low, "a slot"},
		{9, high, "a slot"},
	} {
		if got := judge(pace, c.boots, c.pressure); got != c.want {
			t.Errorf("%d: got %q, want %q", c.boots, got, c.want)
		}
	}
}

// Of two starts of one guest the second does not wait, and takes no slot from others.
func TestSameGuest(t *testing.T) {
	h := newHost(t, 2)
	a, _ := h.start(50)
	b, _ := h.start(50)
	b.User = a.User
	h.atOnce(a)
	if slot := h.atOnce(b); slot != nil {
		t.Errorf("it has %+v", slot)
	}
	c, _ := h.start(50)
	h.atOnce(c)
}

// Who gives up, and whose process has ended, is nobody to wait for.
func TestGone(t *testing.T) {
	h := newHost(t, 1)
	holder, kernel := h.start(50)
	h.atOnce(holder)
	a, _ := h.start(50)
	b, _ := h.start(50)
	first := h.wait(a)
	second := h.wait(b)
	for i := range 3 { // as those who were killed have left them
		file(t, filepath.Join(h.dir, ticketName(99, time.Duration(i), 999_999_999)), "a slot")
	}
	file(t, filepath.Join(h.dir, "boot.1"), "{half")
	file(t, filepath.Join(h.dir, "boot.2"), fmt.Sprintf(`{"pid":%d,"start":1,"taken":%d,"user":2}`, os.Getpid(), now()))
	first.end()
	if err := <-first.done; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
	second.waits()
	kernel.Process.Kill()
	kernel.Wait()
	second.goesOn()
	if left := h.names(); len(left) != 1 || left[0] != fmt.Sprint("boot.", b.User) {
		t.Errorf("left: %q", left)
	}
}

func file(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A slot is let go by its owner only.
func TestCloseOwn(t *testing.T) {
	h := newHost(t, 1)
	a, _ := h.start(50)
	old := h.atOnce(a)
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	h.atOnce(a)
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	if left := h.names(); len(left) != 1 {
		t.Errorf("left: %q", left)
	}
	if err := (*Slot)(nil).Close(); err != nil {
		t.Error(err)
	}
}

func TestNone(t *testing.T) {
	h := newHost(t, 0)
	a, _ := h.start(50)
	if slot := h.atOnce(a); slot != nil {
		t.Errorf("got %+v", slot)
	}
	if _, err := os.Stat(h.dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the queue is there: %v", err)
	}
}

// A queue that others can write is not used.
func TestNotOwn(t *testing.T) {
	h := newHost(t, 1)
	a, _ := h.start(50)
	h.atOnce(a)
	if err := os.Chmod(h.dir, 0o770); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Take(t.Context(), a); err == nil || !strings.Contains(err.Error(), "not root's alone") {
		t.Errorf("got %v", err)
	}
}

// Whoever waits in a queue that somebody has removed goes on.
func TestRemoved(t *testing.T) {
	h := newHost(t, 1)
	a, _ := h.start(50)
	h.atOnce(a)
	b, _ := h.start(50)
	w := h.wait(b)
	if err := os.RemoveAll(h.dir); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-w.done:
		if !errors.Is(err, os.ErrNotExist) {
			t.Errorf("got %v", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("it waits for ever")
	}
}

// Many at once: each has the slot alone, and nobody is forgotten.
func TestCrowd(t *testing.T) {
	h := newHost(t, 2)
	const n = 60
	var held, most atomic.Int64
	done := make(chan error, n)
	for i := range n {
		s, _ := h.start(i % 100)
		go func() {
			slot, _, err := Take(t.Context(), s)
			if err == nil {
				now := held.Add(1)
				for m := most.Load(); now > m && !most.CompareAndSwap(m, now); m = most.Load() {
				}
				time.Sleep(time.Millisecond)
				held.Add(-1)
				err = slot.Close()
			}
			done <- err
		}()
	}
	for range n {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if m := most.Load(); m < 1 || m > 2 {
		t.Errorf("%d had a slot at once", m)
	}
	if left := h.names(); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

// What a start costs that does not wait.
func BenchmarkTake(b *testing.B) {
	h := newHost(b, 1)
	s, _ := h.start(50)
	before := processorTime()
	for b.Loop() {
		if err := h.atOnce(s).Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(processorTime()-before)/float64(b.N), "cpu-ns/op")
}

// What a turn costs beside so many that wait.
func BenchmarkTurn(b *testing.B) {
	for _, n := range []int{0, 100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			h := newHost(b, 1)
			s, _ := h.start(99)
			h.atOnce(s)
			d, err := open(h.dir)
			if err != nil {
				b.Fatal(err)
			}
			for i := range n {
				f, err := d.write(ticketName(50, time.Duration(i), os.Getpid()))
				if err != nil {
					b.Fatal(err)
				}
				defer f.Close()
			}
			other, _ := h.start(99)
			q, err := other.join()
			if err != nil {
				b.Fatal(err)
			}
			before := processorTime()
			for b.Loop() {
				if t, err := q.turn(b.Context()); err != nil || t.why != "a slot" {
					b.Fatal(t, err)
				}
			}
			b.ReportMetric(float64(processorTime()-before)/float64(b.N), "cpu-ns/op")
		})
	}
}

// processorTime is what this process has had: unlike the time on the clock it says the
// same on a busy machine.
func processorTime() time.Duration {
	p, _ := process.Look(os.Getpid())
	return p.Took
}
