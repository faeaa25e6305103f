package test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"uml/roster"
	"uml/test/lab"
)

// paced is a lab where one guest boots at a time, whatever the load.
func paced(t *testing.T) *lab.Lab {
	l := lab.New(t)
	l.SetHost("pace", "1")
	l.SetHost("pace-limit", "3600")
	l.SetHost("pace-pressure", "cpu 100\nio 100\nmemory 100")
	return l
}

// Guests that are let go together boot one after the other, by their priority; one that is
// started later, alone, waits for nobody, though the pressure is over its limit.
func TestPace(t *testing.T) {
	t.Parallel()
	l := paced(t)
	if err := os.WriteFile(l.Machines+"-nostart", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	all := map[string]*lab.Machine{}
	for i, priority := range []string{"50", "10", "99", "50", "10"} {
		name := fmt.Sprint("g", i)
		all[name] = l.Machine(name, lab.Settings{"ip4": fmt.Sprintf("192.0.2.2%d", i), "priority": priority})
		all[name].Activate()
	}
	l.Wait("all to wait", func() bool {
		return !slices.ContainsFunc(machines(t, l), func(m roster.Machine) bool { return m.Why != "machines-nostart" })
	})
	if err := os.Remove(l.Machines + "-nostart"); err != nil {
		t.Fatal(err)
	}
	var order []string
	seen := map[string]bool{}
	l.Wait("all to be up", func() bool {
		var boot []string
		for _, m := range machines(t, l) {
			if m.State != roster.Up {
				continue
			}
			if !seen[m.Name] {
				seen[m.Name] = true
				order = append(order, m.Name)
			}
			if !l.Ping(all[m.Name].IP4) {
				boot = append(boot, m.Name)
			}
		}
		if len(boot) > 1 {
			t.Fatalf("%v boot at once", boot)
		}
		return len(order) == len(all) && len(boot) == 0
	})
	t.Log(order)
	rank := map[string]int{"g2": 0, "g0": 1, "g3": 1, "g1": 2, "g4": 2}
	if !slices.IsSortedFunc(order, func(a, b string) int { return rank[a] - rank[b] }) {
		t.Errorf("they came as %v", order)
	}

	l.SetHost("pace-pressure", "cpu 1\nio 1\nmemory 1")
	last := all[order[4]]
	said, old := strings.Count(last.Log(), "waits: pace"), last.PID()
	last.Svc("-t")
	last.WaitUp(old)
	if strings.Count(last.Log(), "waits: pace") != said {
		t.Errorf("alone, it waits:\n%s", last.Log())
	}
}

func machines(t *testing.T, l *lab.Lab) (all []roster.Machine) {
	t.Helper()
	for _, m := range listed(t, l) {
		all = append(all, m)
	}
	return all
}

// A guest that never answers has its slot until it ends, or for pace-limit. Who waits for
// it is told of, and is held up by nobody who was killed or stopped; nor is it when pace
// is set to 0.
func TestPaceQueue(t *testing.T) {
	t.Parallel()
	l := paced(t)
	var all []*lab.Machine
	for i, name := range []string{"mute", "a", "b", "c"} {
		all = append(all, l.Machine(name, lab.Settings{"ip4": fmt.Sprintf("192.0.2.3%d", i)}))
	}
	mute, a, b, c := all[0], all[1], all[2], all[3]
	mute.Set("ip4", "192.0.2.99") // which its guest knows nothing of
	mute.Activate()
	mute.WaitLog("guest up")
	waits := func(m *lab.Machine, place string) {
		t.Helper()
		l.Wait(m.Name+" to have place "+place, func() bool {
			return listed(t, l)[m.Name].Why == "pace: place "+place+", for a slot"
		})
	}
	a.Activate()
	waits(a, "1 of 1")
	b.Activate()
	waits(b, "2 of 2")
	a.WaitLog("waits: pace: place 1 of 1, for a slot")
	if out := l.Must("uml-ctl", "list"); !strings.Contains(out, "b    yes waiting ") || !strings.Contains(out, "(waiting: pace: place 2 of 2, for a slot)") {
		t.Errorf("list:\n%s", out)
	}
	if r := c.Run("uml-run", "--dry-run"); r.Code != 0 || !strings.Contains(r.Out, "1 of 1 slots are taken, 2 starts wait; priority 50") {
		t.Errorf("dry run: %d, %s%s", r.Code, r.Out, r.Err)
	}
	if r := l.Run("uml-check"); !strings.Contains(r.Out, "; slots taken: 1 (each until a start that waits sees that its guest has booted), starts that wait: 2") {
		t.Errorf("check:\n%s", r.Out)
	}

	// A killed waiter's next start is the last of the queue.
	l.Kill(a.PID(), unix.SIGKILL)
	waits(b, "1 of 2")
	waits(a, "2 of 2")
	// TERM ends a wait.
	a.Svc("-d")
	a.WaitDown()
	waits(b, "1 of 1")

	// A stopped one is passed by, and a holder that is killed holds nothing.
	c.Activate()
	waits(c, "2 of 2")
	b.Svc("-p")
	mute.Svc("-d")
	mute.WaitDown()
	c.WaitUp(0)
	b.Svc("-c")
	b.WaitUp(0)

	// Its time ends too.
	mute.Svc("-u")
	l.Wait("mute to boot", func() bool { return listed(t, l)["mute"].State == roster.Up })
	a.Svc("-u")
	waits(a, "1 of 1")
	l.SetHost("pace-limit", "1")
	a.WaitUp(0)

	// So does the wait of all with pace 0.
	l.SetHost("pace-limit", "3600")
	for _, m := range all {
		m.Svc("-d")
		m.WaitDown()
	}
	for _, m := range all {
		m.Svc("-u")
		l.Wait(m.Name+" to start", func() bool { s := listed(t, l)[m.Name].State; return s == roster.Up || s == roster.Waiting })
	}
	waits(c, "3 of 3")
	l.SetHost("pace", "0")
	for _, m := range all[1:] {
		m.WaitUp(0)
	}
}

// A guest that has no network to answer on has booted when it rests.
func TestPaceNoNetwork(t *testing.T) {
	t.Parallel()
	l := paced(t)
	m, next := l.Machine("alone", nil), l.Machine("next", lab.Settings{"ip4": "192.0.2.40"})
	m.Activate()
	l.Wait("it to boot", func() bool { return listed(t, l)["alone"].State == roster.Up })
	next.Activate()
	next.WaitUp(0)
	if !strings.Contains(m.Log(), "guest up") || !strings.Contains(next.Log(), "waits: pace: place 1 of 1, for a slot") {
		t.Errorf("the next did not wait for it:\n%s\n%s", m.Log(), next.Log())
	}
}
