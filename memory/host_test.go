package memory

import (
	"os"
	"testing"
)

func TestOfHost(t *testing.T) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		t.Fatal(err)
	}
	want, err := field(string(text), "MemTotal")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := OfHost(); got != want || err != nil {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
}
