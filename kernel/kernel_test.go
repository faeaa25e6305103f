package kernel

import (
	"os"
	"testing"

	"uml/settings"
)

// debian is the kernel of the package user-mode-linux.
const debian = "/usr/bin/linux.uml"

func openDebian(t testing.TB) *os.File {
	t.Helper()
	f, err := os.Open(debian)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func inspect(t testing.TB, f *os.File) *Image {
	t.Helper()
	i, err := Inspect(f)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func TestDebian(t *testing.T) {
	i := inspect(t, openDebian(t))
	if !i.Vector || !i.Legacy || !i.NoReboot || !i.Initrd {
		t.Errorf("got vector %v, legacy %v, noreboot %v, initrd %v, want all", i.Vector, i.Legacy, i.NoReboot, i.Initrd)
	}
	for _, want := range []settings.Transport{settings.Vector, settings.Tuntap, settings.FD} {
		if got, err := i.Transport(want); got != want || err != nil {
			t.Errorf("Transport(%v): got %v, %v", want, got, err)
		}
	}
}

// Without sections the search finds the same.
func TestSearch(t *testing.T) {
	i := inspect(t, openDebian(t))
	*i = Image{Program: i.Program}
	if err := i.search(); err != nil || !i.Vector || !i.Legacy || !i.NoReboot || !i.Initrd {
		t.Errorf("got vector %v, legacy %v, noreboot %v, %v, want all", i.Vector, i.Legacy, i.NoReboot, err)
	}
}

func BenchmarkInspect(b *testing.B) {
	f := openDebian(b)
	for b.Loop() {
		inspect(b, f)
	}
}

func BenchmarkTuntap(b *testing.B) {
	i := inspect(b, openDebian(b))
	for b.Loop() {
		if has, err := i.Tuntap(); !has || err != nil {
			b.Fatal(has, err)
		}
	}
}

func BenchmarkLibraries(b *testing.B) {
	i := inspect(b, openDebian(b))
	for b.Loop() {
		if _, err := i.Libraries(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSearch(b *testing.B) {
	i := inspect(b, openDebian(b))
	for b.Loop() {
		if err := i.search(); err != nil {
			b.Fatal(err)
		}
	}
}
