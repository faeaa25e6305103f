package supervisor

import (
	"encoding/hex"
	"strings"
	"testing"
	"time"
)

// What real ones wrote (hexadecimal), and what must not be believed.
var statuses = []struct {
	name, text string
	want       Status
	wantErr    string
}{
	{name: "daemontools up", text: "400000006b05bd431ea1aeb4 af480000 00 75", want: Status{Kind: Daemontools, PID: 18607, Since: at(1795538233, 513912500), Want: Up}},
	{name: "daemontools paused", text: "400000006b05bd431ea1aeb4 af480000 01 75", want: Status{Kind: Daemontools, PID: 18607, Since: at(1795538233, 513912500), Want: Up, Paused: true}},
	{name: "daemontools once", text: "400000006b05bd431ea1aeb4 af480000 00 00", want: Status{Kind: Daemontools, PID: 18607, Since: at(1795538233, 513912500)}},
	{name: "daemontools down", text: "400000006b05bd443aafd39c 00000000 00 64", want: Status{Kind: Daemontools, Since: at(1795538234, 984601500), Want: Down}},
	{name: "daemontools told", text: "400000006b05bd431ea1aeb4 af480000 00 64", want: Status{Kind: Daemontools, PID: 18607, Since: at(1795538233, 513912500), Want: Down, Told: true}},
	{name: "runit up", text: "400000006b05bd431dcade84 ae480000 00 75 00 01", want: Status{Kind: Runit, PID: 18606, Since: at(1795538233, 499834500), Want: Up}},
	{name: "runit once", text: "400000006b05bd431dcade84 ae480000 00 64 00 01", want: Status{Kind: Runit, PID: 18606, Since: at(1795538233, 499834500), Want: Down}},
	{name: "runit told", text: "400000006b05bd431dcade84 ae480000 00 64 01 01", want: Status{Kind: Runit, PID: 18606, Since: at(1795538233, 499834500), Want: Down, Told: true}},
	{name: "runit finishing", text: "400000006b05bd431dcade84 ae480000 00 64 01 02", want: Status{Kind: Runit, PID: 18606, Since: at(1795538233, 499834500), Want: Down, Told: true, Finishing: true}},
	{name: "runit down", text: "400000006b05bd443b3abe1c 00000000 01 64 00 00", want: Status{Kind: Runit, Since: at(1795538234, 993705500), Want: Down, Paused: true}},
	{name: "s6 up", text: "400000006b05bd5e1fb35508 400000006b05bd5e1f5ec220 00000000000048b1 0000 04", want: Status{Kind: S6, PID: 18609, Since: at(1795538233, 531846408), Want: Up}},
	{name: "s6 paused", text: "400000006b05bd5e1fb35508 400000006b05bd5e1f5ec220 00000000000048b1 0000 05", want: Status{Kind: S6, PID: 18609, Since: at(1795538233, 531846408), Want: Up, Paused: true}},
	{name: "s6 finishing", text: "400000006b05bd5e1fb35508 400000006b05bd5e1f5ec220 00000000000048b1 0000 02", want: Status{Kind: S6, PID: 18609, Since: at(1795538233, 531846408), Want: Down, Finishing: true}},
	{name: "s6 down", text: "400000006b05bd5f3b8e8fc6 400000006b05bd6000538c7a 0000000000000000 000f 08", want: Status{Kind: S6, Since: at(1795538234, 999198662), Want: Down}},
	{name: "s6 2.12", text: "400000006b05bd5e1fb35508 400000006b05bd5e1f5ec220 00000000000048b1 00000000000048b1 0000 04", want: Status{Kind: S6, PID: 18609, Since: at(1795538233, 531846408), Want: Up}},

	{name: "empty", wantErr: "0 bytes are no status of daemontools, runit or s6"},
	{name: "cut", text: "400000006b05bd431ea1aeb4 af480000 00", wantErr: "17 bytes are no status of daemontools, runit or s6"},
	{name: "zeros", text: strings.Repeat("00", 18), wantErr: "000000000000000000000000 is no time (TAI64N)"},
	{name: "far", text: "7fffffff6b05bd431ea1aeb4 af480000 00 75", wantErr: "7fffffff6b05bd431ea1aeb4 is no time (TAI64N)"},
	{name: "too many nanoseconds", text: "400000006b05bd433b9aca00 af480000 00 75", wantErr: "400000006b05bd433b9aca00 is no time (TAI64N)"},
	{name: "daemontools, no process", text: "400000006b05bd431ea1aeb4 ffffffff 00 75", wantErr: "4294967295 is no process"},
	{name: "s6, no process", text: "400000006b05bd5e1fb35508 400000006b05bd5e1f5ec220 ffffffffffffffff 0000 04", wantErr: "18446744073709551615 is no process"},
}

func at(sec, nano int64) time.Time { return time.Unix(sec, nano) }

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	text, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestParse(t *testing.T) {
	for _, c := range statuses {
		t.Run(c.name, func(t *testing.T) {
			got, err := Parse(unhex(t, c.text))
			text := ""
			if err != nil {
				text = err.Error()
			}
			if got != c.want || text != c.wantErr {
				t.Errorf("got %+v, %q, want %+v, %q", got, text, c.want, c.wantErr)
			}
		})
	}
}

// What is taken is a process that there can be, at a time that a clock can show.
func FuzzParse(f *testing.F) {
	for _, c := range statuses {
		f.Add(unhex(f, c.text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := Parse(text)
		if err != nil {
			if s != (Status{}) {
				t.Errorf("%x: %v, and %+v", text, err, s)
			}
			return
		}
		if s.Kind == None || s.Supervised || s.PID < 0 || s.Since.Year() < 1969 || s.Since.Year() > 2600 {
			t.Errorf("%x: got %+v", text, s)
		}
	})
}
