package fault

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// read is an object that was written, as any reader of JSON has it.
func read(t *testing.T, line []byte) map[string]any {
	t.Helper()
	var o map[string]any
	if bytes.Count(line, []byte{'\n'}) != 1 || !bytes.HasSuffix(line, []byte{'\n'}) || !utf8.Valid(line) {
		t.Fatalf("no line: %q", line)
	}
	if err := json.Unmarshal(line, &o); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	if at, err := time.Parse(time.RFC3339, o["time"].(string)); err != nil || at.Location() != time.UTC || time.Since(at).Abs() > time.Hour {
		t.Errorf("time: %v, %v", o["time"], err)
	}
	delete(o, "time")
	return o
}

func TestLog(t *testing.T) {
	web := Log{Program: "uml-run", Machine: "web"}
	none := Log{Program: "uml-ctl"}
	for _, c := range []struct {
		log  Log
		do   func(*Log) int
		text string
		want map[string]any
	}{
		{web, func(l *Log) int { l.Say(WaitsUptime, "waits: x"); return OK }, "uml-run: waits: x\n",
			map[string]any{"program": "uml-run", "level": "info", "id": "waits-uptime", "machine": "web", "message": "waits: x"}},
		{web, func(l *Log) int { l.Say(DiscUnsafe, "warning: a\nb"); return OK }, "uml-run: warning: a\\nb\n",
			map[string]any{"program": "uml-run", "level": "warning", "id": "disc-unsafe", "machine": "web", "message": `a\nb`}},
		{none, func(l *Log) int { l.Say("", "goes on"); return OK }, "uml-ctl: goes on\n",
			map[string]any{"program": "uml-ctl", "level": "info", "id": "note", "message": "goes on"}},
		{none, func(l *Log) int { l.Say("", "warning: goes on"); return OK }, "uml-ctl: warning: goes on\n",
			map[string]any{"program": "uml-ctl", "level": "warning", "id": "warning", "message": "goes on"}},
		{web, func(l *Log) int { return l.Fail(LockHeld.Temporary(`"x"`)) }, "uml-run: fatal: \"x\"\n",
			map[string]any{"program": "uml-run", "level": "fatal", "id": "lock-held", "machine": "web", "code": 111.0, "message": `"x"`}},
		{none, func(l *Log) int { return l.Fail(In("mail", SettingBad.Permanent("x"))) }, "uml-ctl: fatal: x\n",
			map[string]any{"program": "uml-ctl", "level": "fatal", "id": "setting-bad", "machine": "mail", "code": 100.0, "message": "x"}},
	} {
		var text, object bytes.Buffer
		c.log.Out = &text
		code := c.do(&c.log)
		if text.String() != c.text {
			t.Errorf("text is %q, want %q", text.String(), c.text)
		}
		c.log.Out, c.log.JSON = &object, true
		if again := c.do(&c.log); again != code {
			t.Errorf("exit code %d, in JSON %d", code, again)
		}
		if got := read(t, object.Bytes()); !maps.Equal(got, c.want) {
			t.Errorf("got %v\nwant %v", got, c.want)
		}
	}
}

// Each part has a line, and all the exit code of all.
func TestLogParts(t *testing.T) {
	var out bytes.Buffer
	l := Log{Out: &out, Program: "p", JSON: true}
	code := l.Fail(errors.Join(Temporary("a"), DiscBad.Permanent("b")))
	var got []any
	for line := range bytes.Lines(out.Bytes()) {
		o := read(t, line)
		got = append(got, o["id"], o["code"])
	}
	if want := []any{"may-pass", 100.0, "disc-bad", 100.0}; code != MustMend || !slices.Equal(got, want) {
		t.Errorf("%d, %v", code, got)
	}
}

// Whatever is in it, it is one line, JSON, printable, says what the text says, and is bounded.
func FuzzLog(f *testing.F) {
	for _, s := range []string{"", `"`, `\`, "\n", "\x1b[2J", "\xff\\", "\u2028\u2029", "\ufffd", "\U000e0001", "warning: x", "</script>", strings.Repeat("\xff", 5000)} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, machine, text string) {
		var object, plain bytes.Buffer
		l := Log{Out: &object, Program: "p", Machine: machine, JSON: true}
		l.Fail(Permanent("%s", text))
		l.Machine, l.Out, l.JSON = "", &plain, false
		l.Fail(Permanent("%s", text))
		o := read(t, object.Bytes())
		if said, _ := strings.CutPrefix(strings.TrimSuffix(plain.String(), "\n"), "p: fatal: "); o["message"] != said {
			t.Errorf("got %q, text has %q", o["message"], said)
		}
		if machine != "" && o["machine"] != Line(machine) {
			t.Errorf("machine %q", o["machine"])
		}
		for _, r := range object.String() {
			if r < ' ' && r != '\n' || r == 0x7f || r == 0x85 || r == 0x2028 {
				t.Errorf("%q in %q", r, object.String())
			}
		}
		if object.Len() > 2*8*maxReport {
			t.Errorf("%d bytes", object.Len())
		}
	})
}
