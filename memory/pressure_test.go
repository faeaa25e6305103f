package memory

import (
	"strings"
	"testing"
)

const pressure = "some avg10=1.25 avg60=0.40 avg300=0.09 total=877\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=290\n"

func TestParsePressure(t *testing.T) {
	if got, err := ParsePressure(pressure); got != 1.25 || err != nil {
		t.Errorf("got %v, %v", got, err)
	}
	for _, value := range []string{"", "-1", "100.1", "NaN", "Inf", "x", "1e999"} {
		if got, err := ParsePressure(strings.Replace(pressure, "1.25", value, 1)); err == nil {
			t.Errorf("%q: got %v", value, got)
		}
	}
}

// A guest says what it likes.
func FuzzParsePressure(f *testing.F) {
	f.Add(pressure)
	f.Fuzz(func(t *testing.T, text string) {
		if got, err := ParsePressure(text); err == nil && !(0 <= got && got <= 100) {
			t.Errorf("%q: got %v", text, got)
		}
	})
}
