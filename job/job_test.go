package job

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestLine(t *testing.T) {
	a := &Answer{Facts: &Facts{Kind: "ext4", System: "a \"b\"\n", Used: 7}}
	got, err := ParseLine(append(a.Line()[:len(a.Line())-1], "\r\n"...))
	if err != nil || !reflect.DeepEqual(got, a) {
		t.Errorf("got %+v, %v", got, err)
	}
	for line, want := range map[string]string{
		"reboot: System halted": "",
		Mark + "{":              "is no answer",
		Mark + "{} {}":          "is no answer",
		Mark + `{"Fualt": "x"}`: "is no answer",
	} {
		a, err := ParseLine([]byte(line))
		if a != nil || (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %+v, %v; want %q", line, a, err, want)
		}
	}
}

func FuzzParseLine(f *testing.F) {
	f.Add(string((&Answer{Fault: "x", Passes: true}).Line()))
	f.Fuzz(func(t *testing.T, line string) {
		a, err := ParseLine([]byte(line))
		if a == nil {
			return
		}
		if again, err2 := ParseLine(a.Line()); err != nil || err2 != nil || !reflect.DeepEqual(a, again) {
			t.Errorf("%q: got %+v, then %+v; %v, %v", line, a, again, err, err2)
		}
	})
}

func TestDecode(t *testing.T) {
	j := Job{Root: "/dev/ubda", Limit: time.Minute, Fit: &Fit{Name: "x"}, Look: true}
	got, err := Decode(j.Encode())
	if err != nil || !reflect.DeepEqual(*got, j) {
		t.Errorf("got %+v, %v", got, err)
	}
}
