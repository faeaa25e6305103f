package fault

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

var (
	lasts    = Permanent("lasts")
	passes   = Temporary("passes")
	errPlain = errors.New("plain")
)

func TestCode(t *testing.T) {
	_, missing := os.Open("/none")
	for _, c := range []struct {
		name string
		err  error
		want int
	}{
		{"nil", nil, OK},
		{"permanent", lasts, MustMend},
		{"temporary", passes, MayPass},
		{"plain", errPlain, MayPass},
		{"failed system call", missing, MayPass},
		{"errno", unix.EIO, MayPass},
		{"permanent with errno in it", Permanent("lasts: %w", unix.EAGAIN), MustMend},
		{"temporary with errno in it", Temporary("passes: %w", unix.EIO), MayPass},
		{"wrapped permanent", fmt.Errorf("path: %w", lasts), MustMend},
		{"outermost counts", Permanent("path: %w", passes), MustMend},
		{"outermost counts", Temporary("path: %w", lasts), MayPass},
		{"one permanent of several", errors.Join(passes, errPlain, lasts), MustMend},
		{"none permanent of several", errors.Join(passes, errPlain), MayPass},
	} {
		if got := Code(c.err); got != c.want {
			t.Errorf("%s: got %d, want %d", c.name, got, c.want)
		}
	}
}

// What a fault was made of can still be found.
func TestIs(t *testing.T) {
	if err := Permanent("open: %w", unix.ENOENT); !errors.Is(err, unix.ENOENT) {
		t.Errorf("got %v, want it to be ENOENT", err)
	}
}

func TestParts(t *testing.T) {
	pair := fmt.Errorf("both %w and %w", errPlain, lasts)
	var none error
	empty := fmt.Errorf("neither %w nor %w", none, none)
	for _, c := range []struct {
		name string
		err  error
		want []error
	}{
		{"nil", nil, nil},
		{"one", errPlain, []error{errPlain}},
		{"joined, in order", errors.Join(lasts, errPlain, passes), []error{lasts, errPlain, passes}},
		{"joined twice", errors.Join(errors.Join(errPlain, lasts), nil, passes), []error{errPlain, lasts, passes}},
		{"a sentence of two", pair, []error{pair}},
		{"a sentence of none", empty, []error{empty}},
	} {
		if got := Parts(c.err); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func TestReport(t *testing.T) {
	for _, c := range []struct {
		err      error
		want     string
		wantCode int
	}{
		{nil, "", OK},
		{passes, "uml-run: fatal: passes\n", MayPass},
		{errors.Join(passes, Permanent("a\nb")), "uml-run: fatal: passes\numl-run: fatal: a\\nb\n", MustMend},
	} {
		var b strings.Builder
		if code := Report(&b, "uml-run", c.err); b.String() != c.want || code != c.wantCode {
			t.Errorf("%v: got %q (%d), want %q (%d)", c.err, b.String(), code, c.want, c.wantCode)
		}
	}
}

func TestLine(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{`plain "quoted" C:\dir`, `plain "quoted" C:\dir`},
		{"Grüße", "Grüße"},
		{"a\numl-run: ok", `a\numl-run: ok`},
		{"\x1b[2J\r\x00\x7f", `\x1b[2J\r\x00\x7f`},
		{"\u202egnp.exe", `\u202egnp.exe`},
		{"\xff", `\xff`},
		{strings.Repeat("x", maxReport+1), strings.Repeat("x", maxReport) + "..."},
	} {
		if got := Line(c.in); got != c.want {
			t.Errorf("%q: got %s, want %s", c.in, got, c.want)
		}
	}
}

// Whatever it is, it stays one line of printable text.
func FuzzLine(f *testing.F) {
	for _, s := range []string{"", `"`, `\"`, "\n", "\x1b[2J", "\xff\\"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, r := range Line(s) {
			if r < ' ' || r == 0x7f || r == 0x85 || r == 0x2028 {
				t.Errorf("%q: got %q in %q", s, r, Line(s))
			}
		}
	})
}
