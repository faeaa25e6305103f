package runscript

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"testing"

	"uml/fault"
	"uml/probe"
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
	} {
		var said []string
		s := &start{Options: Options{Say: func(line string) { said = append(said, line) }}}
		err := s.judge(test.result, "ext0")
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
