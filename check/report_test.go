package check

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"testing"

	"uml/fault"
)

func sample() *Report {
	host, bara := &section{}, &section{machine: "bara"}
	host.warn("memory", "%dM promised", 64)
	bara.ok("kernel", "jail/linux: static")
	bara.fail("disc", errors.Join(fault.Permanent("ubd0: is a fifo"), fault.Temporary("ubd1: in\nuse \x1b[2J")))
	r := &Report{}
	r.take(host)
	r.take(bara)
	return r
}

func TestPrint(t *testing.T) {
	for _, c := range []struct {
		name   string
		colour bool
		want   string
	}{
		{"plain", false, `warn  (host)  memory  64M promised
ok    bara    kernel  jail/linux: static
FAIL  bara    disc    ubd0: is a fifo
FAIL  bara    disc    ubd1: in\nuse \x1b[2J
`},
		{"colour", true, "\x1b[33mwarn\x1b[0m  (host)  memory  64M promised\n" +
			"\x1b[32mok  \x1b[0m  bara    kernel  jail/linux: static\n" +
			"\x1b[31mFAIL\x1b[0m  bara    disc    ubd0: is a fifo\n" +
			"\x1b[31mFAIL\x1b[0m  bara    disc    ubd1: in\\nuse \\x1b[2J\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b bytes.Buffer
			if err := sample().Print(&b, c.colour); err != nil || b.String() != c.want {
				t.Errorf("got %v,\n%s\nwant\n%s", err, b.String(), c.want)
			}
		})
	}
}

func TestPrintFails(t *testing.T) {
	if err := sample().Print(full{}, false); err == nil {
		t.Error("got no error of a full disc")
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func TestJSON(t *testing.T) {
	for _, r := range []*Report{sample(), {}} {
		var b bytes.Buffer
		if err := r.JSON(&b); err != nil {
			t.Fatal(err)
		}
		var back []Line
		if err := json.Unmarshal(b.Bytes(), &back); err != nil {
			t.Fatalf("%v:\n%s", err, b.String())
		}
		if len(back) != len(r.Lines) || len(back) > 0 && !reflect.DeepEqual(back, r.Lines) {
			t.Errorf("got %v, want %v", back, r.Lines)
		}
		if b.Bytes()[0] != '[' {
			t.Errorf("got %s, want an array", b.String())
		}
	}
}

// The names of the fields are promised.
func TestJSONFields(t *testing.T) {
	b, err := json.Marshal(Line{"bara", "kernel", OK, "", "static"})
	if want := `{"machine":"bara","check":"kernel","status":"ok","text":"static"}`; err != nil || string(b) != want {
		t.Errorf("got %s, %v, want %s", b, err, want)
	}
}

func TestCode(t *testing.T) {
	lasting, passing := fault.Permanent("p"), fault.Temporary("t")
	for _, c := range []struct {
		name string
		errs []error
		want int
	}{
		{"nothing", nil, fault.OK},
		{"lasting", []error{lasting}, fault.MustMend},
		{"passing", []error{passing, passing}, fault.MayPass},
		{"both", []error{passing, lasting}, fault.MustMend},
		{"of a system call", []error{errors.New("x")}, fault.MayPass},
	} {
		s := &section{}
		s.ok("a", "b")
		s.warn("a", "b")
		for _, e := range c.errs {
			s.fail("a", e)
		}
		r := &Report{}
		r.take(s)
		if got := r.Code(); got != c.want {
			t.Errorf("%s: got %d, want %d", c.name, got, c.want)
		}
	}
}

func TestFew(t *testing.T) {
	for _, c := range []struct {
		n    int
		want string
	}{{0, ""}, {1, "0"}, {3, "0, 1, 2"}, {8, "0, 1, 2, 3, 4, 5, 6, 7"}, {10, "0, 1, 2, 3, 4, 5, 6, 7 and 2 more"}} {
		var list []int
		for i := range c.n {
			list = append(list, i)
		}
		if got := few(list); got != c.want {
			t.Errorf("%d: got %q, want %q", c.n, got, c.want)
		}
	}
}
