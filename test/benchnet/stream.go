package main

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"uml/test/lab"
)

const guestIP = "192.0.2.20"

// A link is a real guest and how it is on the network.
type link struct {
	name string
	l    *lab.Lab
	m    *lab.Machine
	got  map[string][]float64
}

// measures are what iperf3 is asked for, between the other host and the guest.
var measures = []struct {
	name, unit string
	args       []string
	of         func(report) float64
}{
	{"stream to the guest", "Mbit/s", nil, func(r report) float64 { return r.End.Received.Bits / 1e6 }},
	{"stream from the guest", "Mbit/s", []string{"-R"}, func(r report) float64 { return r.End.Received.Bits / 1e6 }},
	{"datagrams of 64 bytes to it", "1000/s", []string{"-u", "-b", "0", "-l", "64"}, report.arrived},
	{"datagrams of 64 bytes from it", "1000/s", []string{"-R", "-u", "-b", "0", "-l", "64"}, report.arrived},
}

// A report is iperf3's, as far as it is used.
type report struct {
	End struct {
		Received struct {
			Bits float64 `json:"bits_per_second"`
		} `json:"sum_received"`
		Sum struct {
			Seconds float64 `json:"seconds"`
			Packets float64 `json:"packets"`
			Lost    float64 `json:"lost_packets"`
		} `json:"sum"`
	} `json:"end"`
}

func (r report) arrived() float64 {
	if r.End.Sum.Seconds == 0 { // nothing did
		return 0
	}
	return (r.End.Sum.Packets - r.End.Sum.Lost) / r.End.Sum.Seconds / 1000
}

// streams boots a guest of each kind and measures them in turns.
func streams(t lab.TB, rounds int) {
	links := []*link{byHand(t), bySuite(t, "vector"), bySuite(t, "tuntap")}
	for range rounds {
		for _, k := range links {
			for _, m := range measures {
				k.got[m.name] = append(k.got[m.name], m.of(k.iperf(t, m.args)))
			}
		}
	}
	fmt.Printf("\nBetween a real guest and another host, by iperf3 (%d turns of 2 s)\n  %-30s", rounds, "")
	for _, k := range links {
		fmt.Printf(" %18s %6s", k.name, "ratio")
	}
	fmt.Println()
	for _, m := range measures {
		fmt.Printf("  %-30s", m.name)
		for _, k := range links {
			v := median(k.got[m.name])
			fmt.Printf(" %11.1f %s %6.2f", v, m.unit, v/median(links[0].got[m.name]))
		}
		fmt.Println()
	}
}

func bySuite(t lab.TB, transport string) *link {
	l := lab.New(t)
	m := l.Machine("guest", lab.Settings{"ip4": guestIP, "mem": "128M", "transport": transport})
	m.Activate()
	m.WaitUp(0)
	return served(t, "suite, "+transport, l, m)
}

// byHand is the same kernel outside of any jail, on a TAP without rules.
func byHand(t lab.TB) *link {
	l := lab.New(t)
	m := l.Machine("guest", lab.Settings{"ip4": guestIP})
	l.Must("sh", "-ec", `ip tuntap add tap0 mode tap user guest
		ip link set tap0 up
		ip route add `+guestIP+` dev tap0
		echo 1 >/proc/sys/net/ipv4/ip_forward
		for i in ext0 tap0; do
			echo 1 >/proc/sys/net/ipv4/conf/$i/proxy_arp
			echo 0 >/proc/sys/net/ipv4/neigh/$i/proxy_delay
		done`)
	guest := l.Cmd(t.Context(), m.Jail, "setpriv", "--reuid=guest", "--regid=guest", "--clear-groups",
		"env", "TMPDIR=/dev/shm", "HOME="+m.Jail, "./linux", "mem=128M", "ubd0d=ubd0", "root=/dev/ubda",
		"con=null", "con0=null,fd:1", "ssl=null", "uml_dir="+m.Jail, "vec0:transport=tap,ifname=tap0,gro=1,mac=fe:fd:c0:00:02:14")
	if err := guest.Start(); err != nil {
		t.Fatalf("%v", err)
	}
	return served(t, "by hand, vector", l, m)
}

// served brings iperf3 into the guest and starts it there.
func served(t lab.TB, name string, l *lab.Lab, m *lab.Machine) *link {
	l.WaitPing(guestIP)
	server := l.Cmd(t.Context(), "/", append([]string{"ip", "netns", "exec", "other", "busybox", "nc", "-l", "-p", "9", "-e", "tar", "chf", "-", "-C", "/"}, iperf(t)...)...)
	if err := server.Start(); err != nil {
		t.Fatalf("%v", err)
	}
	l.Wait("iperf3 in the guest", func() bool {
		return strings.Contains(m.Guest("[ -x /usr/bin/iperf3 ] || nc "+lab.OtherIP4+" 9 </dev/null | tar xf - -C /; iperf3 --version"), "iperf 3")
	})
	m.Guest("iperf3 -s -D")
	return &link{name, l, m, map[string][]float64{}}
}

// iperf lists the program and its libraries, below /.
func iperf(t lab.TB) []string {
	out, err := exec.Command("ldd", "/usr/bin/iperf3").Output()
	if err != nil {
		t.Fatalf("ldd: %v", err)
	}
	files := []string{"usr/bin/iperf3"}
	for _, f := range regexp.MustCompile(`/\S+`).FindAllString(string(out), -1) {
		files = append(files, strings.TrimPrefix(filepath.Clean(f), "/"))
	}
	return files
}

func (k *link) iperf(t lab.TB, args []string) (r report) {
	var said lab.Result
	k.l.Wait("iperf3", func() bool { // its server serves one at a time, and tells of its end late
		said = k.l.Other(append([]string{"iperf3", "-J", "-t", "2", "-c", guestIP}, args...)...)
		return said.Code == 0
	})
	if err := json.Unmarshal([]byte(said.Out), &r); err != nil {
		t.Fatalf("iperf3: %v\n%s", err, said.Out)
	}
	return r
}
