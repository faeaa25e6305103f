package runscript

import (
	"net"
	"os"
	"strings"
	"testing"

	"uml/kernel"
	"uml/settings"
)

func bara() *settings.Machine {
	return &settings.Machine{
		Name: "bara", Mem: 64 << 20, Root: "/dev/ubda", TAP: "tap_bara",
		MAC: net.HardwareAddr{0xfe, 0xfd, 192, 0, 2, 20},
		Channels: []settings.Channel{
			{Device: "con", Value: "null"}, {Device: "con0", Value: "null,fd:1"},
			{Device: "con1", Value: "pts"}, {Device: "ssl", Value: "null"},
		},
	}
}

func TestArguments(t *testing.T) {
	raw := []settings.Disc{{N: 0, File: "ubd0"}}
	for _, c := range []struct {
		name   string
		change func(*settings.Machine)
		discs  []settings.Disc
		image  kernel.Image
		initrd bool
		want   string
	}{
		{"least", func(*settings.Machine) {}, raw, kernel.Image{}, false,
			"linux mem=64M umid=bara uml_dir=/uml/ ubd0d=/ubd0 root=/dev/ubda con=null con0=null,fd:1 con1=fd:110 ssl=null"},
		{"routed, swap, args", func(m *settings.Machine) {
			m.Net.Kind, m.Swap, m.Args = settings.Routed, 128<<20, []string{"quiet", "init=/bin/sh"}
		}, raw, kernel.Image{Vector: true, NoReboot: true}, false,
			"linux mem=64M umid=bara uml_dir=/uml/ ubd0d=/ubd0 ubd15d=/swap vec0:transport=tap,ifname=tap_bara,gro=1,mac=fe:fd:c0:00:02:14 " +
				"root=/dev/ubda con=null con0=null,fd:1 con1=fd:110 ssl=null noreboot quiet init=/bin/sh"},
		{"a kernel of its own seccomp", func(m *settings.Machine) { m.Args = []string{"quiet"} }, raw, kernel.Image{Seccomp: true, NoReboot: true}, false,
			"linux mem=64M umid=bara uml_dir=/uml/ ubd0d=/ubd0 root=/dev/ubda con=null con0=null,fd:1 con1=fd:110 ssl=null noreboot seccomp=off quiet"},
		{"and of its user's word", func(m *settings.Machine) { m.Args = []string{"seccomp=auto"} }, raw, kernel.Image{Seccomp: true}, false,
			"linux mem=64M umid=bara uml_dir=/uml/ ubd0d=/ubd0 root=/dev/ubda con=null con0=null,fd:1 con1=fd:110 ssl=null seccomp=auto"},
		{"handed over", func(m *settings.Machine) {
			m.Net.Kind, m.Transport, m.Root = settings.Routed, settings.FD, ""
		}, raw, *debian(t), false,
			"linux mem=64M umid=bara uml_dir=/uml/ ubd0d=/ubd0 vec0:transport=fd,fd=100,vec=0,mac=fe:fd:c0:00:02:14 con=null con0=null,fd:1 con1=fd:110 ssl=null"},
		{"discs", func(m *settings.Machine) { m.Root = "" }, []settings.Disc{
			{N: 0, File: "cow", Backing: "/srv/bookworm"}, {N: 3, File: "data/x", ReadOnly: true, Sync: true, NoTrim: true},
		}, kernel.Image{}, false,
			"linux mem=64M umid=bara uml_dir=/uml/ ubd0=/cow,/srv/bookworm ubd3rstd=/data/x con=null con0=null,fd:1 con1=fd:110 ssl=null"},
		{"beside the kernel", func(*settings.Machine) {}, append(raw, settings.Disc{N: modulesDevice, File: modulesName, ReadOnly: true}), kernel.Image{Initrd: true}, true,
			"linux mem=64M umid=bara uml_dir=/uml/ ubd0d=/ubd0 ubd14rd=/modules.img initrd=/initrd root=/dev/ubda con=null con0=null,fd:1 con1=fd:110 ssl=null"},
		{"beside one that takes none", func(*settings.Machine) {}, raw, kernel.Image{}, true,
			"linux mem=64M umid=bara uml_dir=/uml/ ubd0d=/ubd0 root=/dev/ubda con=null con0=null,fd:1 con1=fd:110 ssl=null"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := bara()
			c.change(m)
			got, err := arguments(m, c.discs, &c.image, c.initrd, 100)
			if err != nil || strings.Join(got, " ") != c.want {
				t.Errorf("got %q, %v\nwant %q", strings.Join(got, " "), err, c.want)
			}
		})
	}
}

func debian(t *testing.T) *kernel.Image {
	t.Helper()
	f, err := os.Open("/usr/bin/linux.uml")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	i, err := kernel.Inspect(f)
	if err != nil {
		t.Fatal(err)
	}
	i.NoReboot = false
	return i
}

func TestArgumentsTooLong(t *testing.T) {
	m := bara()
	for range 100 {
		m.Args = append(m.Args, strings.Repeat("x", 40))
	}
	if _, err := arguments(m, nil, &kernel.Image{}, false, 100); err == nil || !strings.Contains(err.Error(), "it takes 4095") {
		t.Errorf("got %v", err)
	}
}

func TestRootThere(t *testing.T) {
	have := []settings.Disc{{N: 0}, {N: 2}}
	for root, want := range map[string]bool{
		"/dev/ubda": true, "/dev/ubd0": true, "/dev/ubd/0": true, "/dev/ubdc": true, "ubda": true,
		"/dev/ubdb": false, "/dev/ubd1": false, "/dev/ubd/7": false,
		"": true, "LABEL=root": true, "/dev/ram0": true, "/dev/ubdp": true,
	} {
		if got := rootThere(root, have); got != want {
			t.Errorf("%q: got %v, want %v", root, got, want)
		}
	}
}

func TestCheckScope(t *testing.T) {
	for scope, refused := range map[string]bool{"0\n": false, "1\n": false, "2\n": true, "3\n": true} {
		if err := checkScope(scope); (err != nil) != refused {
			t.Errorf("%q: got %v", scope, err)
		}
	}
}

func TestTrySysemu(t *testing.T) {
	if err := trySysemu(); err != nil {
		t.Error(err)
	}
}

func BenchmarkTrySysemu(b *testing.B) {
	for b.Loop() {
		if err := trySysemu(); err != nil {
			b.Fatal(err)
		}
	}
}

func TestParseUptime(t *testing.T) {
	for text, want := range map[string]string{"12345.67 54321.00\n": "3h25m45.67s", "0.00 0.00\n": "0s"} {
		if got, err := parseUptime(text); err != nil || got.String() != want {
			t.Errorf("%q: got %v, %v, want %s", text, got, err, want)
		}
	}
}

func FuzzParseUptime(f *testing.F) {
	f.Add("12345.67 54321.00\n")
	f.Fuzz(func(t *testing.T, text string) {
		if d, err := parseUptime(text); err == nil && d < 0 {
			t.Errorf("%q: got %v", text, d)
		}
	})
}
