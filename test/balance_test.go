package test

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"uml/test/lab"
)

// memoryOf is what a guest has, in MB.
func memoryOf(t *testing.T, l *lab.Lab, name string) int {
	t.Helper()
	said := l.Must("uml-ctl", "--timeout", "1m", "memory", name)
	found := regexp.MustCompile(`^` + name + `: ([0-9]+)M of `).FindStringSubmatch(said)
	if found == nil {
		t.Fatalf("memory: %q", said)
	}
	mb, _ := strconv.Atoi(found[1])
	return mb
}

// Memory goes from a guest that does not use it to one that is short, never below what is
// its own, and comes to rest. Guests that do not answer, or are not to be touched, are in
// nobody's way.
func TestBalance(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	l.SetHost("mem-reserve", "60T") // the host has nothing to give
	guests := map[string]*lab.Machine{}
	for i, name := range []string{"idle", "busy", "fixed", "paused", "stopped", "young"} {
		s := lab.Settings{"ip4": fmt.Sprintf("192.0.2.%d", 20+i), "mem": "96M", "mem-min": "48M"}
		if name == "fixed" {
			delete(s, "mem-min")
		}
		m := l.Machine(name, s)
		guests[name] = m
		if name != "young" {
			m.Activate()
		}
	}
	for name, m := range guests {
		if name != "young" {
			m.WaitUp(0)
		}
	}
	l.Must("uml-ctl", "memory", "busy", "64M")
	written := fillMemory(guests["busy"], 3<<10)
	l.Must("uml-ctl", "pause", "paused")
	guests["stopped"].Svc("-p")
	l.Wait("the process to stop", func() bool { return strings.Contains(l.Must("uml-ctl", "list", "stopped"), "paused") })

	balance := func(args ...string) lab.Result {
		t.Helper()
		return l.Run(append([]string{"uml-balance", "--timeout", "20s"}, args...)...)
	}
	leftOut := "uml-balance: paused: left out: paused until uml-ctl resume\numl-balance: stopped: left out: paused until its process is sent SIGCONT (svc -c)\n"
	if r := balance(); r.Code != 0 || r.Out != "" || r.Err != leftOut {
		t.Errorf("all others are young: exit %d, %s%s", r.Code, r.Out, r.Err)
	}
	dry := balance("--young", "0s", "--dry-run")
	for _, want := range []string{
		`(?m)^host: .* available, 60T to be kept; `, `(?m)^idle: 96M to 72M: idle, [0-9]+M available; the host has `, `(?m)^busy: 64M to 7[0-9]M: short, [0-9]+K available$`,
		`(?m)^fixed: left out: no mem-min$`, `(?m)^paused: left out: paused until uml-ctl resume$`, `(?m)^stopped: left out: paused until its process is sent SIGCONT`,
	} {
		if !regexp.MustCompile(want).MatchString(dry.Out) {
			t.Errorf("dry run: nothing is like %s:\n%s%s", want, dry.Out, dry.Err)
		}
	}
	if dry.Code != 0 || strings.Contains(dry.Out, "young") || memoryOf(t, l, "idle") != 96 || memoryOf(t, l, "busy") != 64 {
		t.Errorf("dry run: exit %d, %s", dry.Code, dry.Out)
	}

	rest := func() (said string) {
		t.Helper()
		for range 8 {
			r := balance("--young", "0s")
			if r.Code != 0 || r.Err != leftOut {
				t.Fatalf("exit %d: %s", r.Code, r.Err)
			}
			if r.Out == "" {
				return said
			}
			said += r.Out
		}
		t.Fatalf("it comes to no end:\n%s", said)
		return said
	}
	said := rest()
	if !strings.HasPrefix(said, "idle: 96M to 72M: idle, ") || !strings.Contains(said, "\nbusy: 64M to 7") || strings.Contains(said, "fixed") || strings.Contains(said, "ed: ") {
		t.Errorf("said:\n%s", said)
	}
	if mb := memoryOf(t, l, "idle"); mb != 48 {
		t.Errorf("the idle guest has %dM, its minimum is 48M:\n%s", mb, said)
	}
	if mb := memoryOf(t, l, "busy"); mb <= 64 || mb > 96 {
		t.Errorf("the short guest has %dM:\n%s", mb, said)
	}
	equal(t, sumOfMemory(guests["busy"]), written)
	if again := rest(); again != "" {
		t.Errorf("it is done, and then:\n%s", again)
	}

	// The host has plenty again.
	l.SetHost("mem-reserve", "1M")
	if said := rest(); memoryOf(t, l, "idle") != 96 {
		t.Errorf("said:\n%s", said)
	}
	if mb := memoryOf(t, l, "fixed"); mb != 96 {
		t.Errorf("a guest without mem-min has %dM of 96M", mb)
	}
	l.Must("uml-ctl", "resume", "paused")
	if mb := memoryOf(t, l, "paused"); mb != 96 {
		t.Errorf("a paused guest has %dM of 96M", mb)
	}

	said = ""
	for _, m := range messages(t, balance("--young", "0s", "--log-format", "json").Err) {
		said += m.Level + " " + m.ID + " " + m.Machine + "\n"
	}
	equal(t, said, "info left-out stopped\n")

	refusedBy(t, "uml-balance", balance("idle"), 100, `"idle": no NAME is wanted`)
	l.SetHost("mem-reserve", "0")
	refusedBy(t, "uml-balance", balance(), 100, `mem-reserve: "0" is not a size`)
	l.SetHost("mem-reserve", "1M")
	refusedBy(t, "uml-balance", l.Run("flock", "/run/uml-balance.lock", "uml-balance"), 111, "another uml-balance is at work")
}
