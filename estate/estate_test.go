package estate

import (
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/go-crypt/crypt/algorithm/shacrypt"
	"golang.org/x/crypto/ssh"

	"uml/fault"
	"uml/job"
	"uml/settings"
)

func draftOf(t *testing.T, texts map[string]string) *settings.Machine {
	t.Helper()
	m, err := settings.Draft("/machines/web", settings.Account{Name: "web", UID: 999}, texts)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// What the guest has of its machine's network.
func TestNetwork(t *testing.T) {
	t.Parallel()
	p := netip.MustParsePrefix
	for _, test := range []struct {
		name     string
		settings map[string]string
		gateway  string
		want     *job.Network
		err      string
	}{
		{"routed", map[string]string{"ip4": "192.0.2.20\n192.0.2.32/31", "ip6": "2001:db8:0:1::/64\n2001:db8:0:100::/56"}, "", &job.Network{Auto6: true, Addresses: []netip.Prefix{
			p("192.0.2.20/32"), p("192.0.2.32/32"), p("192.0.2.33/32"), p("2001:db8:0:1::2/64"), p("2001:db8:0:100::2/128"),
		}}, ""},
		{"routed by a router", map[string]string{"ip4": "192.0.2.20"}, "192.0.2.1/24", nil, "a gateway is for bridged guests"},
		{"bridged, DHCP", map[string]string{"ip4": "192.0.2.20", "net": "bridged br0"}, "", &job.Network{DHCP: true}, ""},
		{"bridged, static", map[string]string{"ip4": "192.0.2.20", "net": "bridged br0", "ip6": "2001:db8::/64\n2001:db8:1::7/128"}, "192.0.2.1/24", &job.Network{
			Auto6: true, Gateway: netip.MustParseAddr("192.0.2.1"), Addresses: []netip.Prefix{p("192.0.2.20/24"), p("2001:db8:1::7/128")},
		}, ""},
		{"bridged, IPv6 alone", map[string]string{"ip6": "2001:db8::/64", "net": "bridged br0"}, "", &job.Network{Auto6: true}, ""},
		{"elsewhere", map[string]string{"ip4": "192.0.2.20", "net": "bridged br0"}, "198.51.100.1/24", nil, "is not in the segment"},
		{"no gateway", map[string]string{"ip4": "192.0.2.20", "net": "bridged br0"}, "192.0.2.1", nil, "is no gateway"},
	} {
		got, err := network(draftOf(t, test.settings), test.gateway)
		if (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if err == nil && !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: got %+v, want %+v", test.name, got, test.want)
		}
	}
}

func TestTerminals(t *testing.T) {
	t.Parallel()
	for want, texts := range map[string]map[string]string{
		"tty1":             {},
		"tty1 tty2 ttyS3":  {"con2": "pts", "ssl3": "pts", "con": "pts"},
		"tty0":             {"con0": "fd:0,fd:1", "con1": ""},
		"":                 {"con1": "null", "ssl0": "null,fd:1"},
		"tty1 tty10 ttyS0": {"con10": "pts", "ssl0": "fd:0"},
	} {
		got := *terminals(draftOf(t, texts))
		slices.Sort(got)
		if strings.Join(got, " ") != want {
			t.Errorf("%v: got %q, want %q", texts, got, want)
		}
	}
}

func TestCheckAccount(t *testing.T) {
	t.Parallel()
	for name, good := range map[string]bool{"web": true, "_web-1": true, "Web": false, "1web": false, "a.b": false, "-web": false, "": false, strings.Repeat("a", 33): false, "a\nb": false, "web ": false} {
		if err := checkAccount(name); (err == nil) != good {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// A password is right for who was told it, and each is another; keys are of three kinds.
func TestSecrets(t *testing.T) {
	t.Parallel()
	d := &draft{Spec: Spec{Name: "web"}}
	a, err := d.makeSecrets()
	if err != nil {
		t.Fatal(err)
	}
	b, err := d.makeSecrets()
	if err != nil {
		t.Fatal(err)
	}
	digest, err := shacrypt.Decode(a.root.Password)
	if err != nil || !digest.Match(a.password) || digest.Match(b.password) || len(a.password) != 16 || a.password == b.password || a.fresh.MachineID == b.fresh.MachineID || len(a.fresh.MachineID) != 32 {
		t.Errorf("%v: %+v, %+v", err, a, b)
	}
	for i, k := range a.fresh.HostKeys {
		s, err := ssh.ParsePrivateKey([]byte(k.Private))
		if err != nil || ssh.FingerprintSHA256(s.PublicKey()) != a.keys[i].Fingerprint || !strings.HasPrefix(k.Public, a.keys[i].Public) || k.Public == b.fresh.HostKeys[i].Public {
			t.Errorf("%s: %v", k.Kind, err)
		}
	}
	given := "secret"
	d.Password, d.Keys = &given, []string{"k"}
	if s, err := d.makeSecrets(); err != nil || s.password != "" || !strings.HasPrefix(s.root.Password, "$6$rounds=50000$") {
		t.Errorf("given: %v, %+v", err, s.root)
	}
	d.Password = nil
	if s, err := d.makeSecrets(); err != nil || s.password != "" || s.root.Password != "*" {
		t.Errorf("by key: %v, %+v", err, s.root)
	}
}

const someKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICvAm+tMw/AgSXqe5pW5lKU6FdbNiz9SJHkyzmhHYhuK"

func TestParseKeys(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		someKey + "\n": someKey,
		"# mine\n\n  " + someKey + " me@home\r\nfrom=\"192.0.2.1\" " + someKey: someKey + " me@home|from=\"192.0.2.1\" " + someKey,
		"":                                    "has no key in it",
		"# none\n":                            "has no key in it",
		"ssh-ed25519 AAAA":                    "line 1 is no public key",
		someKey + "\nx":                       "line 2 is no public key",
		"-----BEGIN OPENSSH PRIVATE KEY-----": "is a private key",
		someKey + " a\x1bb":                   "control character",
	} {
		keys, err := ParseKeys([]byte(text))
		got := strings.Join(keys, "|")
		if err != nil {
			got = err.Error()
		}
		if err != nil && (fault.Code(err) != fault.MustMend || !strings.Contains(got, want)) || err == nil && got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func FuzzParseKeys(f *testing.F) {
	f.Add([]byte(someKey + " x\n# y\n"))
	f.Add([]byte("command=\"a\" " + someKey))
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, err := ParseKeys(text)
		if err != nil {
			return
		}
		again, err := ParseKeys([]byte(strings.Join(keys, "\n")))
		if err != nil || !slices.Equal(keys, again) {
			t.Errorf("%q: %q, then %q, %v", text, keys, again, err)
		}
	})
}

func TestCheckPassword(t *testing.T) {
	t.Parallel()
	for p, good := range map[string]bool{"x": true, "two words ü": true, "": false, "a\tb": false, "a\x00": false, strings.Repeat("x", 201): false} {
		if err := CheckPassword(p); (err == nil) != good {
			t.Errorf("%q: %v", p, err)
		}
	}
}

// Of a name the newest stamp counts, and a name that begins so is another.
func TestNewest(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, n := range []string{"deb@20260102T000000Z.img", "deb@20260103T000000Z.img", "deb@20260103T000000Z.json", "deb2@20270101T000000Z.img", "deb.img", "x@.txt"} {
		if err := os.WriteFile(filepath.Join(dir, n), nil, 0o444); err != nil {
			t.Fatal(err)
		}
	}
	o := Options{Templates: dir}
	for name, want := range map[string]string{"deb": "deb@20260103T000000Z.img", "deb@20260102T000000Z": "deb@20260102T000000Z.img", "deb2": "deb2@20270101T000000Z.img", "de": ""} {
		got, err := o.newest(name)
		if want == "" && err == nil || want != "" && got != filepath.Join(dir, want) {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
	o.Templates = filepath.Join(dir, "nosuch") // nothing was built yet
	if _, err := o.newest("deb"); fault.Code(err) != fault.MustMend || !strings.Contains(err.Error(), "uml-template build makes one") {
		t.Errorf("no directory: %v", err)
	}
}

// Two at once: the second is told at once, and what one left whom nobody holds is found.
func TestStage(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	o := Options{}
	n := note{Home: "/nowhere", Settings: map[string]string{"ip4": "192.0.2.1"}}
	fine := func() error { return nil }
	s, err := o.claim(t.Context(), root, "web", n, fine)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.claim(t.Context(), root, "web", n, fine); err == nil || fault.Code(err) != fault.MayPass {
		t.Errorf("a second one: %v", err)
	}
	if got, err := readNote(s.dir); err != nil || !reflect.DeepEqual(got, n) {
		t.Errorf("%+v, %v", got, err)
	}
	if others := o.others(root, "mail"); len(others) != 1 || others[0].Name != "web" || len(others[0].IP4) != 1 {
		t.Errorf("%+v", others)
	}
	if err := os.WriteFile(filepath.Join(s.dir, "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s.lock.Close() // as if it was killed
	if s, err = o.claim(t.Context(), root, "web", n, fine); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(filepath.Join(s.dir, "x")); err == nil {
		t.Error("what the other had made is there")
	}
	if err := os.Mkdir(filepath.Join(s.dir, "jail"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := s.settle(); err != nil || !s.settled() {
		t.Errorf("%v, %v", err, s.settled())
	}
	if names := staged(root); len(names) != 0 {
		t.Errorf("left %q", names)
	}
}

// A machine stays on the kernel that was the default when it was made.
func TestKernel(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	o := Options{Kernels: dir}
	if got, err := o.kernel(""); err != nil || got != "/usr/bin/linux.uml" {
		t.Errorf("no store: %s, %v", got, err)
	}
	if err := os.Mkdir(filepath.Join(dir, "six"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "six/linux"), nil, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("six", filepath.Join(dir, "default")); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"": dir + "/six/linux", "six": dir + "/six/linux", "/boot/x": "/boot/x", "seven": ""} {
		got, err := o.kernel(name)
		if (err != nil) != (want == "") || got != want {
			t.Errorf("%q: %q, %v", name, got, err)
		}
	}
}
