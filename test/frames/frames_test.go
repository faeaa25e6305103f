package frames

import (
	"bytes"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

func example(kind Kind) Scene {
	n := func(b byte, a4, a6 string) Node {
		return Node{net.HardwareAddr{0xfe, 0xfd, 0, 0, 0, b}, addr(a4), addr(a6), addr("fe80::fcfd:ff:fe00:" + string('0'+b))}
	}
	return Scene{kind, n(1, "192.0.2.20", "2001:db8:1::2"), netip.MustParsePrefix("2001:db8:1::/64"),
		n(2, "192.0.2.1", "2001:db8:1::1"), n(3, "192.0.2.21", "2001:db8:2::2"), n(4, "192.0.2.254", "2001:db8::2")}
}

// A table of forgeries that is not whole, or has one twice, proves less than it says.
func TestTables(t *testing.T) {
	for _, kind := range []Kind{Routed, Bridged} {
		names, marks := map[string]bool{}, map[string]bool{}
		for _, f := range append(Forgeries(example(kind)), Honest(example(kind), 9000)...) {
			if names[f.Name] || marks[string(f.Bytes)] {
				t.Errorf("%s: twice", f.Name)
			}
			names[f.Name], marks[string(f.Bytes)] = true, true
			if bytes.Count(f.Bytes, f.Mark) != 1 || len(f.Mark) != 16 {
				t.Errorf("%s: mark %q is not in it once", f.Name, f.Mark)
			}
		}
		if n := len(Forgeries(example(kind))); n < 100 {
			t.Errorf("only %d forgeries", n)
		}
	}
}

// Honest frames are read by others' eyes without a fault, checksums too.
func TestHonest(t *testing.T) {
	for _, f := range Honest(example(Bridged), 9000) {
		p := gopacket.NewPacket(f.Bytes, layers.LayerTypeEthernet, gopacket.Default)
		if e := p.ErrorLayer(); e != nil && p.Layer(layers.LayerTypeIPv6Fragment) == nil {
			t.Errorf("%s: %v\n%v", f.Name, e.Error(), p)
		}
		if err, wrong := p.VerifyChecksums(); err == nil && len(wrong) > 0 {
			t.Errorf("%s: %v", f.Name, wrong)
		}
	}
	for _, f := range append(Forgeries(example(Bridged)), Honest(example(Bridged), 9000)...) {
		if strings.HasPrefix(f.Name, "ARP") && f.Bytes[12] == 8 && f.Bytes[19] != 4 && !strings.Contains(f.Name, "no Ethernet") {
			t.Errorf("%s: is no ARP: % x", f.Name, f.Bytes[:42])
		}
	}
	few, all := len(Honest(example(Bridged), 1500)), len(Honest(example(Bridged), 9000))
	if few != all-2 {
		t.Errorf("%d frames fit in 1500 bytes, %d in 9000", few, all)
	}
}
