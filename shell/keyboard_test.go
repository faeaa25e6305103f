package shell

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"uml/screen"
)

// lines are those that are made of what is typed.
func lines(t *testing.T, typed []byte) (all []string) {
	t.Helper()
	wake, err := screen.NewWake()
	if err != nil {
		t.Fatal(err)
	}
	defer wake.Close()
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pipe[0])
	if _, err := unix.Write(pipe[1], typed); err != nil {
		t.Fatal(err)
	}
	unix.Close(pipe[1])
	terminal := term.NewTerminal(&keyboard{fd: pipe[0], wake: wake, out: io.Discard}, "web> ")
	terminal.AutoCompleteCallback = complete
	for {
		line, err := terminal.ReadLine()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, line)
	}
}

func TestKeyboard(t *testing.T) {
	t.Parallel()
	for typed, want := range map[string]string{
		"status\r":                      "status",
		"a\x03b\r":                      "b",
		"ab\x1b[DX\r":                   "aXb",
		"ab\x1bODX\r":                   "aXb",
		"ab\x1b[1~X\r":                  "Xab",
		"a b\x1bbX\r":                   "a Xb",
		"\x1b[200~stop\x1b[201~\r":      "stop",
		"a\x1b[5~b\x1b[[Ac\r":           "abc",
		"a\x1b\x1b\x1b[1;2;3;4;5;6Rb\r": "ab",
		"\x1b[" + strings.Repeat("1", 1000) + "\rstop\r":     strings.Repeat("1", 969) + "|stop", // no key
		"\x1b]11;rgb:0000/0000/0000\x07a\x1b]lkill\x1b\\b\r": "ab",                               // answers
		"\x1bP1$r0m\x1b\\stop\r":                             "stop",
		"st\x00\x1a\x1eop\r":                                 "stop",
		"ü\xffx\r":                                           "ü?x",
		"\xe4\r":                                             "",
		"stop\r\x04status\r":                                 "stop",
		"one\rtwo\r\x1b[A\x1b[A\r":                           "one|two|one",
		"not ended":                                          "",
	} {
		if got := strings.Join(lines(t, []byte(typed)), "|"); got != want {
			t.Errorf("%.40q: %.60q, want %.60q", typed, got, want)
		}
	}
}

// What is typed, of whatever bytes, makes no more lines than it ends, and none is more
// than a command.
func FuzzPrompt(f *testing.F) {
	for _, s := range []string{"status\r", "\x1b[A\x1b[B\r", "\x1b[200~x\x1b[201~", "\t\t\x7f\x17\x0b", "\xff\xfe\r", "\x1b[", "stop\r\x04", "he\t s\t\r", "\x1b[1;1;1;1;1;1;1;1;1;1"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, typed []byte) {
		typed = typed[:min(len(typed), 1<<10)]
		all := lines(t, typed)
		if ends := bytes.Count(typed, []byte("\r")) + bytes.Count(typed, []byte("\n")); len(all) > ends {
			t.Fatalf("%q: %q", typed, all)
		}
		for _, line := range all {
			if c, _, err := parse(line); err == nil && c == nil && strings.TrimSpace(line) != "" {
				t.Fatalf("%q is nothing", line)
			}
			for pos := range line {
				if got, at, _ := complete(line, pos, '\t'); at < 0 || at > len(got) {
					t.Fatalf("%q at %d: %q at %d", line, pos, got, at)
				}
			}
		}
	})
}
