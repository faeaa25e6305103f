package settings

import (
	"strings"
	"testing"
)

func TestDraft(t *testing.T) {
	t.Parallel()
	m, err := Draft("/machines/web", Account{Name: "web"}, map[string]string{"ip4": "192.0.2.20\n192.0.2.32/30\n", "mem": "128M\n"})
	if err != nil || m.Mem != 128<<20 || m.Net.Kind != Routed || m.TAP != "tap_web" || len(m.Addresses4()) != 5 || m.MAC.String() != "fe:fd:c0:00:02:14" {
		t.Errorf("got %+v, %v", m, err)
	}
	_, err = Draft("/machines/web", Account{Name: "web"}, map[string]string{"ip4": "192.0.2", "mem": "64", "colour": "red", "net": "bridged br0", "root": "/dev/ubda"})
	for _, want := range []string{"ip4: ", "mem: \"64\" is not a size", "colour: is not a setting"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if _, err := Draft("/machines/we b", Account{}, nil); err == nil || !strings.Contains(err.Error(), "is no machine name") {
		t.Errorf("got %v", err)
	}
}
