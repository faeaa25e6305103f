package usage

import (
	"os/exec"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"uml/pressure"
	"uml/roster"
)

// Rates are those of one kernel over some time; else they are not known, and never
// below nothing or endless.
func TestRates(t *testing.T) {
	at := time.Now()
	a := counts{at: at, cpu: 1e9, read: 1000, written: 50, in: 10, out: -1}
	b := counts{at: at.Add(2 * time.Second), cpu: 2e9, read: 3000, written: 40, in: 10, out: 7}
	for _, c := range []struct {
		name string
		a, b counts
		same bool
		want Guest
	}{
		{"two looks", a, b, true, Guest{CPU: 0.5, Read: 1000, Written: -1, In: 0, Out: -1}},
		{"another kernel", a, b, false, Guest{CPU: -1, Read: -1, Written: -1, In: -1, Out: -1}},
		{"at once", a, a, true, Guest{CPU: -1, Read: -1, Written: -1, In: -1, Out: -1}},
		{"backwards", b, a, true, Guest{CPU: -1, Read: -1, Written: -1, In: -1, Out: -1}},
	} {
		var g Guest
		if g.rates(c.a, c.b, c.same); g != c.want {
			t.Errorf("%s: got %+v", c.name, g)
		}
	}
}

// A process and its child are counted together, whatever the process calls itself.
func TestCount(t *testing.T) {
	cmd := exec.Command("sh", "-c", `printf ') R 1 (' >/proc/$$/comm; while :; do :; done & echo; read end; kill $!`)
	end, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer end.Close()
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	before, ok := count(cmd.Process.Pid)
	if !ok || before.start == 0 {
		t.Fatalf("got %+v, %v", before, ok)
	}
	for until := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		now, ok := count(cmd.Process.Pid)
		if !ok || now.start != before.start {
			t.Fatalf("got %+v, %v, before %+v", now, ok, before)
		}
		if now.cpu > before.cpu+5 {
			break
		}
		if time.Now().After(until) {
			t.Fatal("the child's CPU time is not seen")
		}
	}
}

// A table fits its terminal; those that take most come first, and of what is not
// known a dash stands.
func TestTable(t *testing.T) {
	guests := []*Guest{
		{Machine: &roster.Machine{Name: "idle"}, CPU: -1, Swapped: -1, Read: -1, Written: -1, In: -1, Out: -1},
		{Machine: &roster.Machine{Name: strings.Repeat("long", 15)}, CPU: 64, Resident: 1 << 40, Read: 1e12, Written: 1e12, In: 1e9, Out: 1e9, Pressure: &pressure.Some{CPU: 99, IO: 99, Memory: 99}},
		{Machine: &roster.Machine{Name: "busy"}, CPU: 2, Out: 1e12},
	}
	Sort(guests, 'c')
	lines := Table(guests, 80, 'c')
	if len(lines) != 5 || !strings.HasPrefix(lines[2], "long") || !strings.HasPrefix(lines[3], "busy") || strings.Count(lines[4], " -") != 6 {
		t.Errorf("got\n%s", strings.Join(lines, "\n"))
	}
	for _, l := range lines {
		if utf8.RuneCountInString(l) > 80 {
			t.Errorf("too long: %q", l)
		}
	}
	if Sort(guests, 'n'); guests[0].Name != "busy" {
		t.Errorf("by packets: %s is first", guests[0].Name)
	}
	if all := Table(guests, 0, 'c'); !strings.Contains(strings.Join(all, "\n"), strings.Repeat("long", 15)) {
		t.Errorf("a name is cut where there is no terminal")
	}
}
