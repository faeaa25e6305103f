package kernel

import (
	"bytes"
	"testing"
)

func TestRelease(t *testing.T) {
	for data, want := range map[string]string{
		"\x00Linux version 6.1.176 (x@y)\x00": "6.1.176",
		"Linux version 7.0.0-rc1+\x00":        "7.0.0-rc1+",
		"%s version %s":                       "",
		"Linux version ../../etc (":           "",
		"Linux version .. ":                   "",
		"Linux version %s":                    "",
		"Linux version  (":                    "",
	} {
		i, err := Inspect(bytes.NewReader(image{own: []string{"mem="}, data: data}.build(t)))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := i.Release(); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: got %q, %v", data, got, err)
		}
	}
}

// Debian's kernel has overlayfs as a module.
func TestOverlay(t *testing.T) {
	if has, err := inspect(t, openDebian(t)).Overlay(); has || err != nil {
		t.Errorf("got %v, %v", has, err)
	}
	i, err := Inspect(bytes.NewReader(image{own: []string{"initrd="}, data: "\x00\x013overlayfs: failed\x00"}.build(t)))
	if err != nil {
		t.Fatal(err)
	}
	if has, err := i.Overlay(); !has || !i.Initrd || err != nil {
		t.Errorf("got %v, initrd %v, %v", has, i.Initrd, err)
	}
}
