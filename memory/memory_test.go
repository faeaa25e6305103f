package memory

import (
	"strings"
	"testing"

	"uml/settings"
)

const meminfo = "MemTotal:          57600 kB\nMemFree:           30000 kB\nMemAvailable:      41000 kB\nBuffers:             308 kB\n"

func TestParse(t *testing.T) {
	if got, err := Parse(meminfo); err != nil || got != (Info{57600 << 10, 30000 << 10, 41000 << 10}) {
		t.Errorf("got %+v, %v", got, err)
	}
	for in, want := range map[string]string{
		"":                                    "the guest's meminfo says nothing of ",
		meminfo[:30]:                          "says nothing of ",
		strings.Replace(meminfo, "k", "M", 1): `says "57600 MB" of MemTotal`,
		strings.Replace(meminfo, "57600", "-1", 1):                   `says "-1 kB" of MemTotal`,
		strings.Replace(meminfo, "57600", "99999999999999999999", 1): `of MemTotal`,
	} {
		if got, err := Parse(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %+v, %v", in, got, err)
		}
	}
}

// However the guest lies, no step is negative, over what is wanted, or takes the last.
func FuzzStep(f *testing.F) {
	f.Add(meminfo, int64(20<<20))
	f.Fuzz(func(t *testing.T, text string, wanted int64) {
		i, err := Parse(text)
		if err != nil || wanted < 0 {
			return
		}
		step := i.Step(settings.Size(wanted), mib)
		if step < 0 || step > settings.Size(wanted) || step > 0 && (step > i.Free-mib || step > i.Available-Floor(i.Total)) {
			t.Errorf("%+v: takes %v of %v", i, step, settings.Size(wanted))
		}
	})
}

func TestStep(t *testing.T) {
	i := Info{Total: 96 * mib, Free: 30 * mib, Available: 60 * mib}
	for _, c := range []struct{ wanted, want settings.Size }{
		{10 * mib, 10 * mib}, {29 * mib, 29 * mib}, {40 * mib, 29 * mib}, {0, 0}, {5000, 4096},
	} {
		if got := i.Step(c.wanted, mib); got != c.want {
			t.Errorf("%v: got %v, want %v", c.wanted, got, c.want)
		}
	}
	if err := i.Enough("web", 96*mib, 54*mib); err != nil {
		t.Error(err)
	}
	if err := i.Enough("web", 96*mib, 55*mib); err == nil || !strings.Contains(err.Error(), "it can be taken 54M at present, to 42M") {
		t.Errorf("got %v", err)
	}
}

func TestNote(t *testing.T) {
	n := Note{32 * mib, "b-1"}
	for in, want := range map[string]Note{n.String(): n, "": {0, "b-1"}, "33554432 b-2": {0, "b-1"}, "-5 b-1": {0, "b-1"}, "x b-1": {0, "b-1"}} {
		if got := ParseNote(in, "b-1"); got != want {
			t.Errorf("%q: got %+v", in, got)
		}
	}
}
