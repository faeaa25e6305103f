package cgroup

import "testing"

// Code that broke out of a guest may call itself anything.
func TestStarts(t *testing.T) {
	for status, want := range map[string]bool{
		"Name:\tsvscan\nUid:\t0\t0\t0\t0\n":               true,
		"Name:\ts6-svscan\nState:\tS\nUid:\t0\t0\t0\t0\n": true,
		"Name:\tsvscan\nUid:\t1000\t1000\t1000\t1000\n":   false,
		"Name:\tsvscan\nUid:\t1000\t0\t0\t0\n":            false,
		"Name:\tsvscan\n":                                 false,
		"Name:\tsvscanboot\nUid:\t0\t0\t0\t0\n":           false,
		"":                                                false,
	} {
		if got := starts([]byte(status)); got != want {
			t.Errorf("%q: %v", status, got)
		}
	}
}
