package test

import (
	"strings"
	"testing"

	"uml/test/lab"
)

// freshlyBooted runs what follows in a time namespace in which the host is up
// for a second. Its clocks go on as the host's do.
var freshlyBooted = []string{"sh", "-c", `exec unshare --time --boottime -$(($(cut -d. -f1 /proc/uptime) - 1)) --fork -- "$@"`, "-"}

// Paper 3.4: no guest starts on a host that has just booted, and then not all at
// once. When the time has come it starts by itself.
func TestMinUptime(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	l.SetHost("min-uptime", "15")
	l.SetHost("stagger", "1-2")
	m := guest(l)
	m.Activate(freshlyBooted...)
	m.WaitLog(", min-uptime is 15s")
	m.WaitLog("s more, so that guests do not all boot at once")
	m.WaitUp(0)
	if said := strings.Count(m.Log(), "min-uptime is"); said != 1 {
		t.Errorf("it said %d times why it waits", said)
	}
}

// svc -d ends a start wherever it waits, at once: each wait here is longer than
// the lab's patience. It leaves the host as it was, and nothing is locked.
func TestStopsWhereItWaits(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		host   lab.Settings
		prefix []string
		waits  func(l *lab.Lab, m *lab.Machine) // returns when it waits there
	}{
		{"min-uptime", lab.Settings{"min-uptime": "86400"}, freshlyBooted, func(l *lab.Lab, m *lab.Machine) {
			m.WaitLog("min-uptime is 24h")
		}},
		{"nostart", lab.Settings{}, nil, func(l *lab.Lab, m *lab.Machine) {
			m.WaitLog("machines-nostart is there")
		}},
		{"stagger", lab.Settings{"stagger": "3600-3600"}, nil, func(l *lab.Lab, m *lab.Machine) {
			m.WaitLog("machines-nostart is there")
			l.Must("rm", l.Machines+"-nostart")
			m.WaitLog("waits: 1h0m0s more")
		}},
		{"pace", lab.Settings{"pace": "1", "pace-limit": "3600"}, nil, func(l *lab.Lab, m *lab.Machine) {
			m.WaitLog("waits: pace: place 1 of 1, for a slot")
		}},
		{"probe", lab.Settings{"ping-timeout": "60000"}, nil, func(l *lab.Lab, m *lab.Machine) {
			l.Wait("the probe's socket", func() bool { return strings.Count(l.Must("cat", "/proc/net/raw"), "\n") > 1 })
		}},
		{"retry-delay", lab.Settings{"retry-delay": "3600", "external": "nosuch0"}, nil, func(l *lab.Lab, m *lab.Machine) {
			m.WaitLog("nosuch0")
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			l := lab.New(t)
			for name, value := range test.host {
				l.SetHost(name, value)
			}
			m := guest(l)
			if test.name == "pace" {
				otherBoots(l)
			}
			before := l.State()
			if test.name == "nostart" || test.name == "stagger" {
				l.Must("touch", l.Machines+"-nostart")
			}
			m.Activate(test.prefix...)
			test.waits(l, m)
			if s := m.Svstat(); !strings.HasPrefix(s, "up (pid ") {
				t.Fatalf("while it waits: %s", s)
			}
			m.Svc("-d")
			m.WaitDown()
			l.Must("rm", "-f", l.Machines+"-nostart")
			same(t, before, l.State())
			nothingRuns(t, l, m)
			if r := m.Run("flock", "--nonblock", "lock", "true"); r.Code != 0 {
				t.Error("the lock is held")
			}
		})
	}
}

// otherBoots has a process that never ends look as a guest that boots.
func otherBoots(l *lab.Lab) {
	l.Must("sh", "-ec", `setsid sleep 3600 >/dev/null 2>&1 & mkdir -m 700 /run/uml-run.pace
		started=$(cut -d' ' -f22 /proc/$!/stat)
		echo '{"pid":'$!',"start":'$started',"taken":'$(cut -d. -f1 /proc/uptime)000000000',"user":1,"name":"other"}' >/run/uml-run.pace/boot.1`)
}
