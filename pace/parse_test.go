package pace

import (
	"slices"
	"strings"
	"testing"
	"time"

	"uml/pressure"
	"uml/settings"
)

func TestTicketName(t *testing.T) {
	want := []string{
		ticketName(99, 5*time.Second, 7), ticketName(50, time.Second, 4194304), ticketName(50, 300*time.Hour, 2),
		ticketName(9, 0, 3), ticketName(0, 0, 1),
	}
	got := slices.Sorted(slices.Values(want))
	if !slices.Equal(got, want) {
		t.Errorf("names sort as %q", got)
	}
	if pid := parseTicket(want[1]); pid != 4194304 {
		t.Errorf("%s: process %d", want[1], pid)
	}
	for _, name := range []string{"", "wait.", "boot.1", "wait.49.000000003b9aca00.7x", "wait.49.3b9aca00.7", "wait.49.000000003b9aca00.0", "wait.49.000000003b9aca00.07", "wait.-1.000000003b9aca00.7"} {
		if pid := parseTicket(name); pid != 0 {
			t.Errorf("%q is the ticket of %d", name, pid)
		}
	}
}

func FuzzTicket(f *testing.F) {
	f.Add(ticketName(50, time.Hour, 12))
	f.Add("wait.99.ffffffffffffffff.1")
	f.Fuzz(func(t *testing.T, name string) {
		if pid := parseTicket(name); pid < 0 || pid > 0 && !strings.HasPrefix(name, waits) {
			t.Errorf("%q: process %d", name, pid)
		}
	})
}

func TestOver(t *testing.T) {
	limit := settings.Pace{CPU: 80, IO: 60, Memory: 20}
	for p, want := range map[pressure.Some]string{
		{}:                            "",
		{CPU: 80, IO: 60, Memory: 20}: "",
		{CPU: 80.6, IO: 0, Memory: 0}: "pressure cpu 81 > 80",
		{CPU: 99, IO: 61, Memory: 99}: "pressure io 61 > 60",
		{CPU: 0, IO: 0, Memory: 34.2}: "pressure memory 34 > 20",
	} {
		if got := over(p, limit); got != want {
			t.Errorf("%v: got %q, want %q", p, got, want)
		}
	}
}

func FuzzBoot(f *testing.F) {
	f.Add([]byte(`{"pid":7,"start":12,"taken":99,"user":1000,"name":"web","on":"tap_web","addresses":["192.0.2.20"]}`))
	f.Add([]byte(`{"pid":7,"addresses":[null]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if b, ok := parseBoot(text); ok && b.PID <= 0 {
			t.Errorf("%q: %+v", text, b)
		}
	})
}
