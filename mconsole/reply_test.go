package mconsole

import (
	"encoding/binary"
	"strings"
	"testing"
)

func datagram(failed, more, length uint32, data string) []byte {
	b := binary.NativeEndian.AppendUint32(nil, failed)
	b = binary.NativeEndian.AppendUint32(b, more)
	b = binary.NativeEndian.AppendUint32(b, length)
	return append(b, data...)
}

func TestParsePart(t *testing.T) {
	full := strings.Repeat("x", maxData-1) + "\x00"
	for _, c := range []struct {
		name    string
		b       []byte
		want    part
		wantErr string
	}{
		{"whole", datagram(0, 0, 3, "OK\x00"), part{text: "OK"}, ""},
		{"empty", datagram(0, 0, 1, "\x00"), part{}, ""},
		{"others follow", datagram(0, 1, 512, full), part{more: true, text: full[:511]}, ""},
		{"an error", datagram(1, 0, 3, "No\x00"), part{failed: true, text: "No"}, ""},
		{"an error number", datagram(1<<32-16, 0, 1, "\x00"), part{failed: true}, ""},
		{"a NUL within", datagram(0, 0, 4, "a\x00b\x00"), part{text: "a\x00b"}, ""},
		{"nothing", nil, part{}, "0 bytes are no answer of mconsole"},
		{"the header alone", datagram(0, 0, 0, ""), part{}, "12 bytes are no answer of mconsole"},
		{"longer than it is", datagram(0, 0, 1<<32-1, "OK\x00"), part{}, "3 bytes that say they hold 4294967295 are no answer of mconsole"},
		{"shorter than it is", datagram(0, 0, 1, "\x00OK\x00"), part{}, "4 bytes that say they hold 1 are no answer of mconsole"},
		{"no end", datagram(0, 0, 2, "OK"), part{}, "2 bytes that say they hold 2 are no answer of mconsole"},
		{"too long", datagram(0, 0, 513, "x"+full), part{}, "525 bytes are no answer of mconsole"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := parsePart(c.b)
			if text := ""; err != nil {
				text = err.Error()
				if text != c.wantErr {
					t.Errorf("got %q, want %q", text, c.wantErr)
				}
			} else if c.wantErr != "" || got != c.want {
				t.Errorf("got %+v, want %+v %s", got, c.want, c.wantErr)
			}
		})
	}
}

// What parses is what was sent, byte for byte.
func FuzzParsePart(f *testing.F) {
	f.Add(datagram(0, 0, 3, "OK\x00"))
	f.Add(datagram(1<<32-16, 1, 1, "\x00"))
	f.Add(datagram(0, 1, 1<<32-1, "OK\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := parsePart(b)
		if err != nil {
			return
		}
		if len(b) != replyHeader+len(p.text)+1 || string(b[replyHeader:]) != p.text+"\x00" {
			t.Errorf("%q became %+v", b, p)
		}
		if Clean(Clean(p.text)) != Clean(p.text) {
			t.Errorf("not clean: %q", Clean(p.text))
		}
	})
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"Name:\tinit\nState:\tS\n": "Name:\tinit\nState:\tS\n",
		"\x1b[2J\x07\r\x9b\x00":    `\x1b[2J\a\r\x9b\x00`,
		"Größe \u202e \u009b":      `Größe \u202e \u009b`,
		`C:\n`:                     `C:\n`,
		"\ufffd":                   "\ufffd",
	} {
		if got := Clean(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestCommand(t *testing.T) {
	for _, c := range []struct {
		words   string
		want    string
		wantErr string
	}{
		{"version", "version", ""},
		{"pause", "stop", ""},
		{"resume", "go", ""},
		{"config con1", "config con1", ""},
		{"sysrq h", "sysrq h", ""},
		{"proc 1/status", "proc 1/status", ""},
		{"proc self/../meminfo", "proc self/../meminfo", ""},
		{"stack 1", "stack 1", ""},
		{"log a line", "log a line", ""},
		{"haltnot", "", `"haltnot" is no command`},
		{"stop", "", `"stop" is no command`},
		{"halt now", "", `halt: takes nothing, not "now"`},
		{"config", "", "config: needs a DEVICE"},
		{"config con1=pts", "", `config: "con1=pts" is no device that can be asked for (con0, ssl0, ubd0 and so on)`},
		{"config mem", "", `config: "mem" is no device that can be asked for (con0, ssl0, ubd0 and so on)`},
		{"sysrq t", "", `sysrq: "t" is none of the letters h, s, u and b (others can end a guest's kernel)`},
		{"sysrq h b", "", `sysrq: "h b" is none of the letters h, s, u and b (others can end a guest's kernel)`},
		{"proc /proc/meminfo", "", `proc: "/proc/meminfo" is no name of a file in /proc (try meminfo or 1/status)`},
		{"stack self", "", `stack: "self" is no process number`},
		{"log a\nline", "", `log: "a\nline" is not a line of plain text`},
		{"log " + strings.Repeat("x", 507), "", "a command of 511 bytes: the kernel takes 510"},
	} {
		words := strings.Split(c.words, " ")
		got, err := Command(words[0], words[1:])
		text := ""
		if err != nil {
			text = err.Error()
		}
		if text != c.wantErr || err == nil && got != c.want {
			t.Errorf("%s: got %q, %q, want %q, %q", c.words, got, text, c.want, c.wantErr)
		}
	}
}

func TestDevices(t *testing.T) {
	for s, want := range map[string]bool{
		"ubd3d=/annex/ubd3": true, "ubd15rs=/a,/b": true, "vec0:transport=tap,ifname=tap_a": true, "eth0=tuntap,tap_a,fe:fd:0:0:0:1": true,
		"mem=-500M": false, "con1=pts": false, "ubd=mmap": false, "ubd3": false, "ubd3x=/a": false, "ubd3=": false, "ubd3=/a b": false, "ubd3=/a\x00": false,
		"eth0:x": false, "": false,
	} {
		if got := isAdded(s); got != want {
			t.Errorf("isAdded(%q) is %v", s, got)
		}
	}
	for s, want := range map[string]bool{"ubd3": true, "vec0": true, "eth12": true, "mem": false, "con1": false, "ubd": false, "ubd3d": false, "ubd123": false} {
		if got := isRemoved(s); got != want {
			t.Errorf("isRemoved(%q) is %v", s, got)
		}
	}
}
