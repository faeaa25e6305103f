package spelling

import (
	"slices"
	"strings"
	"testing"
)

func TestNearest(t *testing.T) {
	all := []string{"db", "mail", "mail2", "web1", "web10", "web2", "WWW"}
	for name, want := range map[string]string{
		"mial":   "mail",
		"mail3":  "mail mail2",
		"mai":    "mail mail2",
		"we1":    "web1",
		"web":    "web1 web10 web2",
		"www":    "WWW",
		"bd":     "db",
		"other":  "",
		"x":      "",
		"mailbo": "mail mail2",
	} {
		if got := Nearest(name, all); !slices.Equal(got, strings.Fields(want)) {
			t.Errorf("%s: got %v, want %s", name, got, want)
		}
	}
}
