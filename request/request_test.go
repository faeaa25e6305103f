package request

import (
	"encoding/json"
	"strings"
	"testing"

	"uml/fault"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		`{"act":"status"}`:                               "",
		`{"act":"login","from":"192.0.2.1"}`:             "",
		`{"act":"login","from":"fe80::1"}`:               "",
		`{"act":"sysrq","key":"s"}`:                      "",
		`{"act":"console","channel":"con1","wait":true}`: "",
		`{"act":"log","lines":10000,"follow":true}`:      "",
		`{"act":"add-key","line":"ssh-ed25519 AAAA me"}`: "",
		``:                                      "no request: EOF",
		`null`:                                  `"" is no act`,
		`[]`:                                    "no request: json",
		`{"act":"status"} `:                     "",
		`{"act":"status"}{"act":"kill"}`:        "no request: more than one",
		`{"act":"status","machine":"alice"}`:    "no request: json: unknown field \"machine\"",
		`{"act":"shell"}`:                       `"shell" is no act`,
		`{"act":"status","key":"s"}`:            "status takes no key",
		`{"act":"stop","line":"x"}`:             "stop takes no line",
		`{"act":"login","from":"here"}`:         `from: "here" is no address`,
		`{"act":"login","from":"fe80::1%eth0"}`: "from:", // a zone can be any text
		`{"act":"log","lines":10001}`:           "lines: 10001 is not from 0 to 10000",
		`{"act":"log","lines":-1}`:              "lines: -1 is not from 0 to 10000",
		`{"act":"add-key","line":"a\nb"}`:       "line: is not one",
		`{"act":"add-key","line":"a\u0000b"}`:   "line: is not one",
		`{"act":"a\u001b[2J"}`:                  `"a\\x1b[2J" is no act`,
		strings.Repeat(" ", Max+1):              "a request of 16385 bytes",
	} {
		r, err := Parse([]byte(text))
		if want == "" && (err != nil || r.Act == "") {
			t.Errorf("%s: %v", text, err)
		}
		if want != "" && (err == nil || !strings.HasPrefix(err.Error(), want) || fault.Code(err) != fault.MustMend || r != Request{}) {
			t.Errorf("%.40q: got %+v, %v, want %s", text, r, err, want)
		}
	}
}

// What is read is what would be sent, and means the same.
func FuzzParse(f *testing.F) {
	for _, s := range []string{`{"act":"status"}`, `{"act":"console","channel":"con1","wait":true}`, `{"act":"add-key","line":"ssh-ed25519 AAAA"}`, `{"ACT":"kill"}`, `{"act":"stop"}x`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := Parse(b)
		if err != nil {
			if strings.ContainsAny(fault.Line(err.Error()), "\n\x1b") {
				t.Errorf("%q", err)
			}
			return
		}
		again, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Parse(again); err != nil || got != r {
			t.Errorf("%s: got %+v, %v", again, got, err)
		}
	})
}

func FuzzAnswer(f *testing.F) {
	for _, s := range []string{`{"step":"x"}`, `{"code":111,"fault":"x\n"}`, `{"machine":{"name":"a","since":"2026-01-01T00:00:00Z","discs":[{}]}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := parseAnswer(b)
		if err != nil {
			return
		}
		if err := a.Err(); (err == nil) != (a.Code == 0) || err != nil && strings.ContainsRune(err.Error(), 0x1b) {
			t.Errorf("%+v: %q", a, err)
		}
	})
}

func TestFailed(t *testing.T) {
	for _, err := range []error{fault.Permanent("bad\nline"), fault.Temporary("later")} {
		a := Failed(err)
		if a.Code != fault.Code(err) || strings.Contains(a.Fault, "\n") || fault.Code(a.Err()) != fault.Code(err) {
			t.Errorf("got %+v", a)
		}
	}
}
