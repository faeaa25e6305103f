package runscript

import "testing"

func TestIsKernelImage(t *testing.T) {
	for exe, want := range map[string]bool{
		"/room/linux": true, "/room/linux (deleted)": true,
		"/linux": false, "/room/busybox": false, "/srv/room/linux": false, "": false,
	} {
		if isKernelImage(exe) != want {
			t.Errorf("%q: got %v", exe, !want)
		}
	}
}
