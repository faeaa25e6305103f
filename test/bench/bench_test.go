package main

import (
	"os"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	dispatch()
	os.Exit(m.Run())
}

// What a start promises whatever the machine's speed: no process but the trial's
// of SKAS and two that were forked to announce, one time-out for 40 silent addresses, and nothing of ours afterwards.
func TestStart(t *testing.T) {
	t.Parallel()
	b, err := newBench(t)
	if err != nil {
		t.Fatal(err)
	}
	for _, addresses := range []int{0, 1, 40} {
		suite := b.rivals(addresses)[0]
		for _, when := range []string{"first", "again"} {
			s := suite.start()
			want, beside := 1, 0
			if addresses > 0 {
				want, beside = 3, 1 // one that has not got its name yet
			}
			if s.Processes < want || s.Processes > want+1 || s.Beside > beside { // a thread that has ended counts too
				t.Errorf("%d addresses, %s: %d processes started and %d beside, want %d and %d", addresses, when, s.Processes, s.Beside, want, beside)
			}
			if addresses > 0 && s.Wall < timeout {
				t.Errorf("%d addresses, %s: %v, not even one time-out of %v", addresses, when, s.Wall, timeout)
			}
			// A busy machine makes one of many seconds; asked one after another they take more.
			if in := timeout * time.Duration(addresses); addresses > 1 && s.Wall > in {
				t.Errorf("%d addresses, %s: %v, as if asked in turn", addresses, when, s.Wall)
			}
		}
		if left := suite.after(); left != (After{}) {
			t.Errorf("%d addresses: %+v left beside the kernel, want nothing", addresses, left)
		}
	}
}

// The shell scripts do their duties too, or their figures would mean nothing.
func TestScriptBoots(t *testing.T) {
	t.Parallel()
	b, err := newBench(t)
	if err != nil {
		t.Fatal(err)
	}
	scripts := b.rivals(1)[1:]
	for _, s := range scripts {
		s.m.Activate()
	}
	for _, s := range scripts {
		s.m.WaitUp(0)
	}
}

func TestSpread(t *testing.T) {
	for _, c := range []struct {
		all  []float64
		unit string
		want string
	}{
		{[]float64{1}, "", "1 (1-1)"},
		{[]float64{1, 2, 9}, "", "2 (1-9)"},
		{[]float64{1, 2, 3, 9}, "ms", "2.50 ms (1.00-9.00)"},
	} {
		if got := spread(c.all, c.unit); got != c.want {
			t.Errorf("%v: got %q, want %q", c.all, got, c.want)
		}
	}
}
