package shell

import (
	"slices"
	"strings"
	"testing"
)

func TestWords(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"":                             "",
		" \t ":                         "",
		"status":                       "status",
		"  log  -f\t-n 5 ":             "log|-f|-n|5",
		"keys add ssh-rsa A+/=":        "keys|add|ssh-rsa|A+/=",
		"status; id":                   "!';'",
		"status\nid":                   `!'\n'`,
		"a & b":                        "!'&'",
		"$HOME":                        "!'$'",
		"`id`":                         "!'`'",
		"*":                            "!'*'",
		"'status'":                     `!'\''`,
		"stat\x00us":                   `!'\x00'`,
		"stat\x1bus":                   `!'\x1b'`,
		"stat\xffus":                   `!'�'`,
		"über":                         "!'ü'",
		strings.Repeat("a", maxLine+1): "!at most",
	} {
		got, err := words(line)
		if reason, bad := strings.CutPrefix(want, "!"); bad {
			if err == nil || !strings.Contains(err.Error(), reason) {
				t.Errorf("%.20q: %q, %v; want %q", line, got, err, reason)
			}
		} else if err != nil || strings.Join(got, "|") != want {
			t.Errorf("%q: %q, %v", line, got, err)
		}
	}
}

// Whatever is typed: words of the plain alphabet, or none.
func FuzzWords(f *testing.F) {
	for _, s := range []string{"status", "log -f -n 5", "a;b", "\xff", "keys add ssh-ed25519 AAAA= x@y"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		all, err := words(line)
		if err != nil {
			return
		}
		for _, w := range all {
			if w == "" || strings.ContainsFunc(w, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("`$&|;<>(){}[]*?!~#'\"\\%^", r) }) {
				t.Fatalf("%q of %q", w, line)
			}
		}
		if len(all) > 0 {
			find(all[0])
		}
	})
}

func TestComplete(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"st":           "st",
		"sta":          "sta",
		"statu":        "status ",
		"console c":    "console con",
		"console con1": "console con1 ",
		"keys a":       "keys add ",
		"keys add x":   "keys add x",
		"help re":      "help restart ",
		"nosuch x":     "nosuch x",
		"q":            "q",
	} {
		got, pos, ok := complete(line, len(line), '\t')
		if !ok || got != want || pos != len(want) {
			t.Errorf("%q: %q, %d", line, got, pos)
		}
	}
	if got, pos, _ := complete("statu  x", 5, '\t'); got != "status   x" || pos != 7 {
		t.Errorf("in the middle: %q, %d", got, pos)
	}
	if _, _, ok := complete("st", 2, 's'); ok {
		t.Error("completes without Tab")
	}
	if !slices.Contains(names(), "console") {
		t.Error(names())
	}
}

func TestAddress(t *testing.T) {
	t.Parallel()
	for connection, want := range map[string]string{
		"":                                 "",
		"192.0.2.7 40000 192.0.2.1 22":     "192.0.2.7",
		"2001:db8::7 40000 2001:db8::1 22": "2001:db8::7",
		"fe80::1%eth0 40000 fe80::2 22":    "fe80::1",
		"$(id) 1 2 3":                      "",
		"UNKNOWN 65535 UNKNOWN 65535":      "",
	} {
		if got := address(connection); got != want {
			t.Errorf("%q: %q", connection, got)
		}
	}
}
