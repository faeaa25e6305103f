package runscript

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"uml/fault"
	"uml/netsetup"
	"uml/probe"
	"uml/settings"
)

func TestJudge(t *testing.T) {
	a4, a6 := netip.MustParseAddr("192.0.2.20"), netip.MustParseAddr("2001:db8:1::2")
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 1}
	for _, test := range []struct {
		name   string
		result probe.Result
		said   []string
		want   string
	}{
		{"silent", probe.Result{}, nil, ""},
		{"answers", probe.Result{Answers: []probe.Answer{{Address: a4, From: a4, How: "ARP, ICMP echo", MAC: mac}, {Address: a6, From: a6, How: "ICMP echo"}}}, nil,
			"192.0.2.20: answers on ext0 (ARP, ICMP echo; 02:00:00:00:00:01): the guest runs on another host, or another has its address\n" +
				"2001:db8:1::2: answers on ext0 (ICMP echo): the guest runs on another host, or another has its address"},
		{"rival", probe.Result{Rivals: []probe.Answer{{Address: a4, From: a4, How: "ARP probe", MAC: mac}}}, nil,
			"192.0.2.20: another asks for it on ext0 at this moment (ARP probe; 02:00:00:00:00:01): the guest is being started on another host"},
		{"no proof", probe.Result{
			Elsewhere: []probe.Answer{{Address: a4, From: netip.MustParseAddr("192.0.2.9"), How: "ICMP echo"}},
			Unasked:   []probe.Unasked{{Address: a6, How: "ICMP echo", Why: errors.New("no route")}}},
			[]string{"warning: 2001:db8:1::2: could not be asked on ext0 by ICMP echo: no route", "warning: 192.0.2.20: 192.0.2.9 answered on ext0 in its place"}, ""},
		{"blind", probe.Result{Unasked: []probe.Unasked{{Address: a6, How: "ICMP echo", Why: errors.New("no route"), Blind: true}}}, nil,
			"2001:db8:1::2: could not be asked on ext0 by ICMP echo: no route, nor in any other way: its silence proves nothing"},
		{"a host without IPv6", probe.Result{Unasked: []probe.Unasked{{Address: linkLocal.Addr(), How: "ICMP echo", Why: errors.New("no route"), Blind: true}}}, nil, ""},
		{"the hardware address", probe.Result{Answers: []probe.Answer{{Address: netip.MustParseAddr("fe80::1"), How: "neighbour advertisement", MAC: mac}}}, nil,
			"fe80::1: answers on ext0 (neighbour advertisement; 02:00:00:00:00:01): the guest runs on another host, or another has its hardware address (settings/mac)"},
	} {
		var said []string
		s := &start{m: &settings.Machine{MAC: mac}, Options: Options{Say: func(_ fault.ID, line string) { said = append(said, line) }}}
		err := s.judge(test.result, &netsetup.Interface{Name: "ext0"})
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != test.want || !slices.Equal(said, test.said) {
			t.Errorf("%s:\n got %q, %q\nwant %q, %q", test.name, got, said, test.want, test.said)
		}
		if err != nil && fault.Code(err) != fault.MayPass {
			t.Errorf("%s: exit code %d, want %d", test.name, fault.Code(err), fault.MayPass)
		}
	}
}

// For programs each has its ID.
func TestSilenceIDs(t *testing.T) {
	a := netip.MustParseAddr("192.0.2.20")
	var said []fault.ID
	s := &start{m: &settings.Machine{}, Options: Options{Say: func(id fault.ID, _ string) { said = append(said, id) }}}
	for want, r := range map[fault.ID]probe.Result{
		fault.AddressAnswers:   {Answers: []probe.Answer{{Address: a}}},
		fault.AddressContested: {Rivals: []probe.Answer{{Address: a}}},
		fault.AddressUnasked:   {Unasked: []probe.Unasked{{Address: a, Why: errors.New("no route"), Blind: true}}},
	} {
		if err := s.judge(r, &netsetup.Interface{Name: "ext0"}); fault.IDOf(err) != want {
			t.Errorf("%v: got %s, want %s", err, fault.IDOf(err), want)
		}
	}
	err := s.judge(probe.Result{
		Elsewhere: []probe.Answer{{Address: a, From: a}}, Unasked: []probe.Unasked{{Address: a, Why: errors.New("no route")}},
	}, &netsetup.Interface{Name: "ext0"})
	if err != nil || !slices.Equal(said, []fault.ID{fault.AddressUnasked, fault.AddressElsewhere}) {
		t.Errorf("said %q, %v", said, err)
	}
}

func TestProbed(t *testing.T) {
	m := &settings.Machine{Net: settings.Net{Kind: settings.Routed}, MAC: net.HardwareAddr{0xfe, 0xfd, 192, 0, 2, 20}}
	for _, p := range []string{"192.0.2.20/32", "192.0.2.32/31"} {
		m.IP4 = append(m.IP4, netip.MustParsePrefix(p))
	}
	for _, p := range []string{"2001:db8:1::/64", "2001:db8:2::/56"} {
		m.IP6 = append(m.IP6, netip.MustParsePrefix(p))
	}
	const want = "[192.0.2.20 192.0.2.32 192.0.2.33 2001:db8:1::2 2001:db8:1:0:fcfd:c0ff:fe00:214 2001:db8:2::2 fe80::fcfd:c0ff:fe00:214]"
	if got := fmt.Sprint(Probed(m)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// A host is named as /etc/ethers and /etc/hosts have it, and by the addresses that
// it has itself.
func TestWho(t *testing.T) {
	mac, other := net.HardwareAddr{2, 0, 0, 0, 0, 1}, net.HardwareAddr{2, 0, 0, 0, 0, 2}
	at := func(address string, mac net.HardwareAddr) netsetup.Neighbour {
		return netsetup.Neighbour{Address: netip.MustParseAddr(address), MAC: mac}
	}
	k := &Known{
		neighbours: []netsetup.Neighbour{at("192.0.2.11", mac), at("192.0.2.12", other), at("192.0.2.21", mac), at("2001:db8::11", mac), at("fe80::1", mac)},
		hosts:      []line{{"192.0.2.11", []string{"host-b.example", "host-b"}}, {"192.0.2.12", []string{"host-c"}}, {"2001:db8::11", []string{"host-b.example"}}},
		ethers:     []line{{"02:00:00:00:00:02", []string{"c"}}},
	}
	for m, want := range map[string]string{
		mac.String():        "host-b.example, 192.0.2.11, 192.0.2.21, 2001:db8::11",
		other.String():      "c, host-c, 192.0.2.12",
		"02:00:00:00:00:03": "",
	} {
		mac, _ := net.ParseMAC(m)
		if got := k.who(mac); got != want {
			t.Errorf("%s: got %q, want %q", m, got, want)
		}
	}
}

func TestLines(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ethers")
	if err := os.WriteFile(file, []byte("# none\n\n02:00:00:00:00:01 a b # c\n02:00:00:00:00:02\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(lines(file), lines(file+"x")); got != "[{02:00:00:00:00:01 [a b]}] []" {
		t.Errorf("got %s", got)
	}
}
