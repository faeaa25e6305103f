package test

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"uml/test/lab"
)

// What happens to guests is counted: starts, refusals by their reason, traffic, what they
// forge; to a file, and served by a program that has given up what it does not need.
func TestMetrics(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	l.SetHost("retry-delay", "3600")
	m := l.Machine("guest", lab.Settings{"ip4": address})
	broken := l.Machine("broken", nil)
	if err := os.Remove(filepath.Join(broken.Jail, "ubd0")); err != nil {
		t.Fatal(err)
	}
	broken.Activate()
	m.Activate()
	pid := m.WaitUp(0)
	l.WaitPing(address)
	l.Kill(pid, unix.SIGKILL)
	m.WaitUp(pid)
	l.WaitPing(address)
	l.Wait("broken to fail", func() bool { return listed(t, l)["broken"].State == "failing" })

	m.Guest("ip addr add 198.51.100.7/32 dev vec0; ping -c 3 -W 1 -I 198.51.100.7 " + lab.HostIP4 + "; true")
	l.Must("uml-metrics", "--output", "/run/uml.prom")
	now := numbers(l.Must("cat", "/run/uml.prom"))
	for name, want := range map[string]float64{
		`uml_guests{state="up"}`:                            1,
		`uml_guests{state="failing"}`:                       1,
		`uml_guest_state{machine="guest",state="up"}`:       1,
		`uml_guest_state{machine="broken",state="failing"}`: 1,
		`uml_guest_activated{machine="broken"}`:             1,
		`uml_guest_starts_total{machine="guest"}`:           2,
		`uml_guest_starts_total{machine="broken"}`:          0,
		`uml_guest_memory_promised_bytes{machine="guest"}`:  64 << 20,
		`uml_memory_promised_bytes`:                         64 << 20,
		`uml_guest_forged_packets{machine="guest"}`:         3,
		`uml_guest_settings_faults{machine="guest"}`:        0,
		`uml_look_success{part="machines"}`:                 1,
		`uml_look_success{part="filter"}`:                   1,
		`uml_look_success{part="bridge"}`:                   1,
	} {
		if got, ok := now[name]; !ok || got != want {
			t.Errorf("%s: got %v (%v), want %v", name, got, ok, want)
		}
	}
	for _, name := range []string{"cpu_seconds_total", "memory_resident_bytes", "start_time_seconds", "disc_size_bytes", "network_receive_packets_total", "network_transmit_bytes_total"} {
		if now[`uml_guest_`+name+`{machine="guest"}`] <= 0 {
			t.Errorf("%s: none", name)
		}
	}
	reasons := 0
	for name, n := range now {
		if regexp.MustCompile(`^uml_guest_refusals_total\{machine="broken",reason="[a-z-]+"\}$`).MatchString(name) && n == 1 {
			reasons++
		}
	}
	if reasons != 1 {
		t.Errorf("the refusal has %d reasons in\n%s", reasons, l.Must("cat", "/run/uml.prom"))
	}
	m.Guest("dd if=/dev/zero of=/file bs=4096 count=100 2>/dev/null; sync")
	for range 20 {
		l.Must("ping", "-c", "1", address)
	}
	later := numbers(l.Must("uml-ctl", "metrics"))
	for name, before := range now {
		if strings.HasPrefix(name, "uml_guest_") && strings.Contains(name, "_total") && later[name] < before {
			t.Errorf("%s fell from %v to %v", name, before, later[name])
		}
	}
	if name := `uml_guest_network_receive_packets_total{machine="guest"}`; later[name] < now[name]+20 {
		t.Errorf("packets: from %v to %v", now[name], later[name])
	}

	served := l.Must("sh", "-c", `uml-metrics --listen 127.0.0.1:9743 >/run/metrics.log 2>&1 & pid=$!
		timeout 60 sh -c 'until busybox wget -qO /run/served http://127.0.0.1:9743/metrics; do sleep 0.1; done' || cat /run/metrics.log
		grep -E 'CapEff|Name|Seccomp:' /proc/$pid/status
		nsenter -t $pid -m touch /run/written 2>&1
		kill $pid; cat /run/metrics.log`)
	for _, want := range []string{"Name:\tuml-metrics\n", "CapEff:\t0000000000081004\n", "Seccomp:\t2\n", "Read-only file system", "uml-metrics: listens at 127.0.0.1:9743\n"} {
		if !strings.Contains(served, want) {
			t.Errorf("no %q in\n%s", want, served)
		}
	}
	text := l.Must("cat", "/run/served")
	seen := numbers(text)
	for name := range later {
		if _, ok := seen[name]; !ok {
			t.Errorf("served without %s", name)
		}
	}
	if seen[`uml_guest_forged_packets{machine="guest"}`] != 3 || seen[`uml_guest_cpu_seconds_total{machine="guest"}`] < later[`uml_guest_cpu_seconds_total{machine="guest"}`] {
		t.Errorf("served\n%s", text)
	}
	for unit, args := range map[string]string{"uml-metrics.service": "--listen 127.0.0.1:9744", "uml-metrics-file.service": "--output /run/unit.prom"} {
		l.Must("rm", "-f", "/run/unit.prom")
		all := l.Must("sh", "-c", bounded(t, unit)+` uml-metrics `+args+` >/run/metrics.log 2>&1 & pid=$!
			timeout 60 sh -c 'until busybox wget -qO - http://127.0.0.1:9744/metrics || cat /run/unit.prom; do sleep 0.1; done' 2>/dev/null || cat /run/metrics.log
			kill $pid 2>/dev/null || :`)
		now := numbers(all)
		for name := range later {
			if _, ok := now[name]; !ok {
				t.Errorf("with the rights of %s: no %s in\n%s", unit, name, all)
			}
		}
	}
	refusedBy(t, "uml-metrics", l.Run("uml-metrics", "--output", "/dev/null"), 100, "no regular file")
	refusedBy(t, "uml-metrics", l.Run("uml-ctl", "metrics", "--output", "/run/x", "--listen", ":1"), 100, "one of them")
	refusedBy(t, "uml-metrics", l.Run("setpriv", "--reuid=guest", "--regid=guest", "--clear-groups", "uml-metrics"), 100, "needs root")
}

// bounded is the command that runs another with the capabilities that a unit leaves it.
func bounded(t *testing.T, unit string) string {
	t.Helper()
	found := regexp.MustCompile(`(?m)^CapabilityBoundingSet=(.*)$`).FindStringSubmatch(read(t, "../examples/systemd/"+unit))
	if found == nil {
		t.Fatalf("%s has no CapabilityBoundingSet", unit)
	}
	return "setpriv --no-new-privs --bounding-set=-all,+" + strings.ReplaceAll(strings.ToLower(strings.ReplaceAll(found[1], "CAP_", "")), " ", ",+")
}

// numbers are the samples of an exposition by name and labels.
func numbers(text string) map[string]float64 {
	all := map[string]float64{}
	for line := range strings.Lines(text) {
		if i := strings.LastIndexByte(line, ' '); i > 0 && line[0] != '#' {
			all[line[:i]], _ = strconv.ParseFloat(strings.TrimSpace(line[i:]), 64)
		}
	}
	return all
}
