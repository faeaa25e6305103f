package radvd

import (
	"strings"
	"testing"

	"uml/fault"
)

// A word that we do not know of: the machine that has it is named and keeps what it
// had, and the others are written.
func TestSift(t *testing.T) {
	set(t, &reserved, " ")
	h := newHost(t)
	prefixes := map[string]string{}
	for i, name := range strings.Split("abcdefghijk", "") {
		prefixes[name] = "2001:db8:0:" + string("123456789ab"[i]) + "::/64"
	}
	h.put("etc/radvd.conf", "# mine\n")
	for _, name := range []string{"b", "c"} {
		h.machine(name, prefixes[name])
	}
	h.write(false)
	for name, prefix := range prefixes {
		h.machine(name, prefix)
	}
	h.put("machines/b/settings/tap", "prefix")
	h.put("machines/i/settings/tap", "AdvManagedFlag")
	h.put("machines/k/settings/tap", "tap_b") // which b holds on to
	var want []section
	for _, name := range strings.Split("abcdefghj", "") {
		want = append(want, had("tap_"+name, name, prefixes[name]))
	}
	out, _, dry := h.run(true)
	_, _, err := h.run(false)
	if got := h.text(); got != "# mine\n"+ours(want...) || got != out {
		t.Errorf("got\n%s\nto be\n%s", got, out)
	}
	said := err.Error()
	for _, part := range []string{
		"b is advertised as before: radvd refuses its section, interface prefix: line ",
		"i is advertised as before: radvd refuses its section, interface AdvManagedFlag: line ",
		"k is advertised as before: tap_b: is still advertised for b, which has a fault",
	} {
		if !strings.Contains(said, part) {
			t.Errorf("no %q in %s", part, said)
		}
	}
	if len(fault.Parts(err)) != 3 || fault.Code(err) != fault.MayPass || dry == nil || dry.Error() != said {
		t.Errorf("exit %d, %v, dry %v", fault.Code(err), err, dry)
	}

	// What the administrator's part is refused for is nobody else's fault.
	text := h.text()
	h.put("etc/radvd.conf", "interface eth1 {\n"+text)
	if _, _, err := h.run(false); fault.Code(err) != fault.MustMend || !strings.Contains(err.Error(), "radvd refuses what would be written") {
		t.Errorf("exit %d, %v", fault.Code(err), err)
	}

	// The only one there is.
	alone := newHost(t)
	alone.machine("a", one)
	alone.put("machines/a/settings/tap", "prefix")
	if _, said, err := alone.run(false); fault.Code(err) != fault.MayPass || said != "" || alone.text() != "-" {
		t.Errorf("exit %d, %v, said %s, wrote %s", fault.Code(err), err, said, alone.text())
	}
}
