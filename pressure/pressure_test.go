package pressure

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const text = "some avg10=1.25 avg60=0.40 avg300=0.09 total=877\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=290\n"

func TestParse(t *testing.T) {
	for text, want := range map[string]float64{
		text: 1.25,
		"some avg10=0.00 avg60=0.00 avg300=0.00 total=0\nfull avg10=9.00 avg60=0.00 avg300=0.00 total=0\n": 0,
		"some avg10=55.89 avg60=14.89 avg300=14.80 total=15137289943\n":                                    55.89,
		"some avg10=100.00 avg60=1\n": 100,
	} {
		if got, err := Parse(text); got != want || err != nil {
			t.Errorf("%q: got %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "some", "some avg10=", "some avg10=x y", "some avg10=-1 ", "some avg10=100.01 ", "some avg10=NaN ", "full avg10=1.00 "} {
		if got, err := Parse(text); err == nil {
			t.Errorf("%q: got %v", text, got)
		}
	}
	for _, value := range []string{"", "-1", "100.1", "NaN", "Inf", "x", "1e999"} {
		if got, err := Parse(strings.Replace(text, "1.25", value, 1)); err == nil {
			t.Errorf("%q: got %v", value, got)
		}
	}
}

func TestParseTotal(t *testing.T) {
	if got, ok := parseTotal(text); got != 877*time.Microsecond || !ok {
		t.Errorf("got %v, %v", got, ok)
	}
	for _, text := range []string{"", "some avg10=1.00", "full avg10=1.00 total=7", "some total=-1", "some total=x", "some total=99999999999999999999"} {
		if got, ok := parseTotal(text); ok {
			t.Errorf("%q: got %v", text, got)
		}
	}
}

func TestGroup(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"cpu", "io", "memory"} {
		if _, err := Group(dir); !errors.Is(err, ErrNone) {
			t.Errorf("before %s: %v", name, err)
		}
		if err := os.WriteFile(filepath.Join(dir, name+".pressure"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := Group(dir); got != (Some{1.25, 1.25, 1.25}) || err != nil {
		t.Errorf("got %v, %v", got, err)
	}
}

// A guest says what it likes.
func FuzzParse(f *testing.F) {
	f.Add(text)
	f.Add("some avg10=55.89 avg60=14.89 avg300=14.80 total=15137289943\n")
	f.Fuzz(func(t *testing.T, text string) {
		if n, err := Parse(text); err == nil && !(0 <= n && n <= 100) {
			t.Errorf("%q: %v", text, n)
		}
		if n, ok := parseTotal(text); ok && n < 0 {
			t.Errorf("%q: %v", text, n)
		}
	})
}
