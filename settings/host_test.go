package settings

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"uml/fault"
)

func hostDir(t *testing.T, files map[string]string) string {
	t.Helper()
	return machine(t, "host", files).Join("settings")
}

func TestReadHost(t *testing.T) {
	const s = time.Second
	pace := Pace{2 * runtime.NumCPU(), 60 * s, 100, 80, 20}
	defaults := Host{MinUptime: 120 * s, Pace: pace, PingTimeout: s, RetryDelay: 15 * s, Publish: true, RadvdConf: "/etc/radvd.conf"}
	changed := Host{External: "eth0", MinUptime: 0, Pace: Pace{3, 5 * s, 90, 80, 1}, StaggerLow: 2 * s, StaggerHigh: 3 * s, PingTimeout: 50 * time.Millisecond, RetryDelay: 0, Publish: false, RadvdConf: "/run/radvd.conf"}
	open, some := defaults, defaults
	open.GuestToHost = true
	some.GuestPorts = []Port{{"udp", 53}, {"tcp", 53}}
	keys := defaults
	keys.AccountKeys = true
	once, half := defaults, defaults
	once.Overcommit, half.Overcommit = 1, 1.5
	unpaced, slots := defaults, defaults
	unpaced.Pace.Slots = 0
	slots.Pace.CPU, slots.Pace.IO, slots.Pace.Memory = 100, 100, 100
	keeps := defaults
	keeps.MemReserve = 2 * gib
	for _, c := range []struct {
		name, dir string
		want      Host
	}{
		{"no directory", "/none", defaults},
		{"empty directory", hostDir(t, nil), defaults},
		{"all", hostDir(t, map[string]string{"external": "eth0\n", "min-uptime": "0", "stagger": "2-3", "pace": "3", "pace-limit": "5", "pace-pressure": "memory 1\ncpu  90", "ping-timeout": "50", "retry-delay": "0", "publish": "none", "radvd-conf": "/run/radvd.conf"}), changed},
		{"log-format json", hostDir(t, map[string]string{"log-format": "json"}), defaults},
		{"guest-to-host no", hostDir(t, map[string]string{"guest-to-host": "no"}), defaults},
		{"guest-to-host yes", hostDir(t, map[string]string{"guest-to-host": "yes"}), open},
		{"guest-to-host some", hostDir(t, map[string]string{"guest-to-host": "udp/53 \n# the same\ntcp/53\n"}), some},
		{"account-keys yes", hostDir(t, map[string]string{"account-keys": "yes"}), keys},
		{"account-keys no", hostDir(t, map[string]string{"account-keys": "no"}), defaults},
		{"overcommit warn", hostDir(t, map[string]string{"overcommit": "warn"}), defaults},
		{"overcommit no", hostDir(t, map[string]string{"overcommit": "no"}), once},
		{"overcommit 1", hostDir(t, map[string]string{"overcommit": "1"}), once},
		{"overcommit 1.5", hostDir(t, map[string]string{"overcommit": "1.5"}), half},
		{"stagger 0", hostDir(t, map[string]string{"stagger": "0"}), defaults},
		{"stagger none", hostDir(t, map[string]string{"stagger": ""}), defaults},
		{"pace 0", hostDir(t, map[string]string{"pace": "0"}), unpaced},
		{"no pressure", hostDir(t, map[string]string{"pace-pressure": ""}), slots},
		{"mem-reserve", hostDir(t, map[string]string{"mem-reserve": "2G"}), keeps},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := ReadHost(c.dir)
			if err != nil {
				t.Fatal(err)
			}
			same(t, "file", got.File("external"), filepath.Join(c.dir, "external"))
			got.Dir = ""
			same(t, "host", *got, c.want)
		})
	}
}

func TestReadHostFaults(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ file, value, want string }{
		{"external", "a/b", `"a/b"` + noInterface},
		{"external", "", "is empty, and cannot be none (remove the file for the default)"},
		{"min-uptime", "86401", `"86401" is not a number from 0 to 86400`},
		{"stagger", "9-1", `"9-1"` + noRange},
		{"pace", "-1", `"-1" is not a number from 0 to 1000`},
		{"pace", "", "is empty, and cannot be none (remove the file for the default)"},
		{"pace-limit", "0", `"0" is not a number from 1 to 3600`},
		{"pace-pressure", "cpu", `"cpu"` + noPressure},
		{"pace-pressure", "cpu 0", `"cpu 0"` + noPressure},
		{"pace-pressure", "cpu 101", `"cpu 101"` + noPressure},
		{"pace-pressure", "80", `"80"` + noPressure},
		{"pace-pressure", "disc 10", `"disc 10"` + noPressure},
		{"pace-pressure", "io 10\nio 20", `"io 20": io stands twice`},
		{"ping-timeout", "9", `"9" is not a number from 10 to 60000`},
		{"retry-delay", "-1", `"-1" is not a number from 0 to 3600`},
		{"publish", "yes", `"yes" is no way to publish (try proxy or none)`},
		{"publish", "proxy\nnone", `2 values, "proxy" and more: this setting takes one`},
		{"radvd-conf", "radvd.conf", `"radvd.conf" is not an absolute path`},
		{"radvd-conf", "/a\x00", `"/a\x00" is not an absolute path`},
		{"guest-to-host", "", "is empty, and cannot be none (remove the file for the default)"},
		{"guest-to-host", "maybe", `"maybe" is not yes, no, or a service (try udp/53)`},
		{"guest-to-host", "yes\nno", `"yes" is not yes, no, or a service (try udp/53)`},
		{"guest-to-host", "tcp/0", `"tcp/0" is not yes, no, or a service (try udp/53)`},
		{"guest-to-host", "icmp/8", `"icmp/8" is not yes, no, or a service (try udp/53)`},
		{"guest-to-host", strings.Repeat("tcp/1\n", 33), "33 lines: at most 32 services can be named"},
		{"overcommit", "yes", `"yes"` + noTimes},
		{"overcommit", "0", `"0"` + noTimes},
		{"overcommit", "-1", `"-1"` + noTimes},
		{"overcommit", "1e3", `"1e3"` + noTimes},
		{"overcommit", "1.5.1", `"1.5.1"` + noTimes},
		{"overcommit", "1001", `"1001"` + noTimes},
		{"overcommit", "NaN", `"NaN"` + noTimes},
		{"mem-reserve", "512K", `"512K" is nothing to keep (try 2G)`},
		{"mem-reserve", "5%", `"5%"` + noSize},
		{"mem", "1G", "is not a setting of the host, but of a machine (settings/mem of its directory)"},
		{"colour", "red", "is not a setting (see uml-machine(5))"},
	} {
		dir := hostDir(t, map[string]string{c.file: c.value})
		_, err := ReadHost(dir)
		if want := dir + "/" + c.file + ": " + c.want; err == nil || err.Error() != want || fault.Code(err) != fault.MustMend {
			t.Errorf("%s %q: got %v (%d), want %s", c.file, c.value, err, fault.Code(err), want)
		}
	}
	_, err := ReadHost(file)
	if want := file + ": is not a directory"; err == nil || err.Error() != want || fault.Code(err) != fault.MustMend {
		t.Errorf("got %v (%d), want %s", err, fault.Code(err), want)
	}
}
