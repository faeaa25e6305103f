package shell

import (
	"slices"
	"strings"
	"testing"

	"uml/fault"
)

func TestParse(t *testing.T) {
	t.Parallel()
	key := strings.Repeat("A", 2*maxLine)
	for line, want := range map[string]string{
		"":                                     "",
		" \t ":                                 "",
		"status":                               "status",
		"  log  -f\t-n 5 ":                     "log|-f|-n|5",
		"quit":                                 "exit",
		"logout":                               "exit",
		"keys add ssh-rsa A+/=":                "keys|add|ssh-rsa|A+/=",
		"keys add ssh-rsa " + key:              "keys|add|ssh-rsa|" + key,
		"keys remove " + key:                   "!more than 4096",
		"status " + key:                        "!more than 4096",
		"keys add " + key + key:                "!more than",
		"Status":                               `!"Status" is no command (did you mean status? try: help)`,
		"stat":                                 "!did you mean status or start?",
		"x":                                    `!"x" is no command (try: help)`,
		"status; id":                           "!';'",
		"status\nid":                           `!'\n'`,
		"a & b":                                "!'&'",
		"$HOME":                                "!'$'",
		"`id`":                                 "!'`'",
		"*":                                    "!'*'",
		"'status'":                             `!'\''`,
		"stat\x00us":                           `!'\x00'`,
		"stat\x1bus":                           `!'\x1b'`,
		"stat\xffus":                           `!'�'`,
		"über":                                 "!'ü'",
		"scp -t /tmp":                          "!scp: this account has no files",
		"git-upload-pack 'x.git'":              "!git-upload-pack: this account has no files",
		"/usr/lib/openssh/sftp-server -l INFO": "!sftp-server: this account has no files",
		"internal-sftp":                        "!internal-sftp: this account has no files",
		"rsync --server -e.LsfxCIvu . /tmp":    "!rsync: this account has no files",
		"uml-shell -c status":                  `!"uml-shell" is no command`,
	} {
		c, args, err := parse(line)
		if reason, bad := strings.CutPrefix(want, "!"); bad {
			if err == nil || !strings.Contains(err.Error(), reason) || fault.Code(err) != fault.MustMend || strings.Contains(err.Error(), "\n") {
				t.Errorf("%.40q: %v; want %q", line, err, reason)
			}
			continue
		}
		got := ""
		if c != nil {
			got = strings.Join(append([]string{c.name}, args...), "|")
		}
		if err != nil || got != want {
			t.Errorf("%.40q: %.40q, %v", line, got, err)
		}
	}
}

// Whatever is asked for: a command and words of the plain alphabet, or one line that
// says why not.
func FuzzCommand(f *testing.F) {
	for _, s := range []string{"status", "log -f -n 5", "a;b", "\xff", "keys add ssh-ed25519 AAAA= x@y", "scp -t '/'", "console ttyS0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		c, args, err := parse(line)
		if err != nil {
			if text := fault.Line(err.Error()); text != err.Error() && !strings.Contains(text, `\`) || fault.Code(err) != fault.MustMend {
				t.Fatalf("%q: %v", line, err)
			}
			return
		}
		if c == nil {
			if strings.Trim(line, " \t") != "" {
				t.Fatalf("%q is nothing", line)
			}
			return
		}
		for _, w := range args {
			if w == "" || strings.Trim(w, plain) != "" {
				t.Fatalf("%q of %q", w, line)
			}
			if channel(w) == "" {
				t.Fatalf("%q is a console without a name", w)
			}
		}
	})
}

// Each command's help is for one screen.
func TestHelp(t *testing.T) {
	t.Parallel()
	for _, c := range commands {
		text := c.form() + ": " + c.summary + ".\n" + c.more
		for _, line := range strings.Split(text, "\n") {
			if len(line) > 100 || strings.TrimSpace(line) != line {
				t.Errorf("%s: %q", c.name, line)
			}
		}
		if strings.Count(text, "\n") > 20 || len(c.summary) > 60 {
			t.Errorf("help %s is long", c.name)
		}
	}
	if len(commands) > 22 {
		t.Error("help is longer than a screen")
	}
}

func TestChannel(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"1": "con1", "con2": "con2", "tty1": "con1", "ttyS0": "ssl0", "ssl3": "ssl3", "ttyx": "conx", "/dev/tty1": "/dev/tty1"} {
		if got := channel(name); got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
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
		"log -f -":     "log -f -",
		"log -f -n":    "log -f -n ",
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
