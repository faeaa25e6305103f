package ledger

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"uml/settings"
)

const mib = settings.Size(1) << 20

// TestMain is also a guest: a process that makes a promise, says how it went, and stays.
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == "guest" {
		var p Promise
		var most Sums
		fmt.Sscan(os.Args[3], &p.User, &p.Size, &p.Locked, &most.All, &most.Locked)
		_, fits, err := p.Make(os.Args[2], most)
		fmt.Println(fits, err)
		bufio.NewReader(os.Stdin).ReadString('\n')
		os.Exit(0)
	}
	os.Exit(m.Run())
}

type guest struct {
	*exec.Cmd
	fits bool
}

func start(t testing.TB, name string, p Promise, most Sums) *guest {
	t.Helper()
	g := &guest{Cmd: exec.Command("/proc/self/exe", "guest", name, fmt.Sprint(p.User, int64(p.Size), p.Locked, int64(most.All), int64(most.Locked)))}
	if _, err := g.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := g.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.kill)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.HasSuffix(line, "<nil>\n") {
		t.Fatalf("a guest said %q, %v", line, err)
	}
	g.fits = strings.HasPrefix(line, "true")
	return g
}

func (g *guest) kill() {
	g.Process.Kill()
	g.Wait()
}

func file(t testing.TB) string { return filepath.Join(t.TempDir(), "ledger") }

func most(all, locked settings.Size) Sums { return Sums{All: all, Locked: locked} }

func looks(t testing.TB, name string, want Sums) {
	t.Helper()
	if got, err := Look(name); got.But(-1) != want || err != nil {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

func TestPromises(t *testing.T) {
	name := file(t)
	looks(t, name, Sums{})
	limit := most(100*mib, 50*mib)
	web := start(t, name, Promise{User: 1000, Size: 60 * mib}, limit)
	if !web.fits {
		t.Fatal("the first does not fit")
	}
	if start(t, name, Promise{User: 4000000, Size: 41 * mib}, limit).fits {
		t.Error("41M beside 60M fit into 100M")
	}
	db := start(t, name, Promise{User: 4000000, Size: 40 * mib, Locked: true}, limit)
	if !db.fits {
		t.Error("40M beside 60M do not fit into 100M")
	}
	looks(t, name, Sums{2, 100 * mib, 40 * mib})
	if got, err := Look(name); got.But(1000) != (Sums{1, 40 * mib, 40 * mib}) || err != nil {
		t.Errorf("but one: got %+v, %v", got, err)
	}
	// However large the host is, what is locked has a limit of its own.
	if start(t, name, Promise{User: 7, Size: 11 * mib, Locked: true}, most(1000*mib, 50*mib)).fits {
		t.Error("11M locked beside 40M fit into 50M")
	}
	// A promise ends with its process, and nothing else has to be done.
	web.kill()
	looks(t, name, Sums{1, 40 * mib, 40 * mib})
	if !start(t, name, Promise{User: 7, Size: 60 * mib}, limit).fits {
		t.Error("what a killed guest had is not free")
	}
	// A user has one guest: his next promise takes the place of the last.
	db.kill()
	if !start(t, name, Promise{User: 4000000, Size: 20 * mib, Locked: true}, limit).fits {
		t.Error("the next start does not fit in place of the last")
	}
	looks(t, name, Sums{2, 80 * mib, 20 * mib})
}

// A start that fails gives back what it was promised, before it has ended.
func TestClose(t *testing.T) {
	name := file(t)
	p := &Promise{User: 1000, Size: 60 * mib, Locked: true}
	if _, fits, err := p.Make(name, most(100*mib, 100*mib)); !fits || err != nil {
		t.Fatal(fits, err)
	}
	looks(t, name, Sums{1, 60 * mib, 60 * mib})
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	looks(t, name, Sums{})
	if f, err := os.Open(name); err != nil {
		t.Error(err)
	} else if got, err := readSums(f); got != (Sums{}) || err != nil {
		t.Errorf("sums are %+v, %v", got, err)
	}
	if err := p.Close(); err != nil {
		t.Errorf("twice: %v", err)
	}
	// Not what another has promised for the user since.
	if _, fits, err := p.Make(name, most(100*mib, 100*mib)); !fits || err != nil {
		t.Fatal(fits, err)
	}
	start(t, name, Promise{User: 1000, Size: 10 * mib}, most(100*mib, 100*mib))
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	looks(t, name, Sums{1, 10 * mib, 0})
}

// Of many that start at once as many fit as there is room for.
func TestRace(t *testing.T) {
	name := file(t)
	var all sync.WaitGroup
	guests := make([]*guest, 40)
	for i := range guests {
		all.Go(func() { guests[i] = start(t, name, Promise{User: 1000 + i, Size: 10 * mib}, most(170*mib, 0)) })
	}
	all.Wait()
	fit := 0
	for _, g := range guests {
		if g != nil && g.fits {
			fit++
		}
	}
	if fit != 17 {
		t.Errorf("%d fit, want 17", fit)
	}
	looks(t, name, Sums{17, 170 * mib, 0})
}

// Who is killed between two writes leaves sums that are too large, never too small; and
// whatever stands there is mended when it matters.
func TestMends(t *testing.T) {
	name := file(t)
	start(t, name, Promise{User: 1000, Size: 60 * mib}, most(100*mib, 0))
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for i, wrong := range []Sums{{All: math.MaxInt64}, {All: 190 * mib}, {All: -1}, {All: math.MinInt64, Locked: 1 << 62}} {
		if err := writeSums(f, wrong); err != nil {
			t.Fatal(err)
		}
		if !start(t, name, Promise{User: 1001, Size: 40 * mib}, most(100*mib, 0)).fits {
			t.Errorf("%d: 40M beside 60M do not fit into 100M", i)
		}
		if got, err := readSums(f); got != most(100*mib, 0) || err != nil {
			t.Errorf("%d: sums are %+v, %v", i, got, err)
		}
	}
	if err := os.Truncate(name, entriesAt+1001*entrySize+7); err != nil { // damaged
		t.Fatal(err)
	}
	looks(t, name, Sums{1, 60 * mib, 0})
}

func TestRefused(t *testing.T) {
	name := file(t)
	if err := os.Symlink(name+".else", name); err != nil {
		t.Fatal(err)
	}
	if _, fits, err := (&Promise{User: 1}).Make(name, Sums{}); fits || err == nil {
		t.Errorf("through a link: got %v, %v", fits, err)
	}
	if _, err := Look(name); err == nil {
		t.Error("looked through a link")
	}
}

func TestEntrySize(t *testing.T) {
	if got := binary.Size(entry{}); got != entrySize {
		t.Errorf("got %d", got)
	}
}

// What a promise costs beside none and beside 1,000, and when there is no room for it.
func BenchmarkMake(b *testing.B) {
	for _, guests := range []int{0, 1000} {
		name := file(b)
		for i := range guests {
			start(b, name, Promise{User: 100000 + i, Size: mib}, most(1<<40, 0))
		}
		p := &Promise{User: 99999, Size: mib}
		b.Run(fmt.Sprintf("beside%d", guests), func(b *testing.B) {
			for b.Loop() {
				if _, fits, err := p.Make(name, most(1<<40, 0)); !fits || err != nil {
					b.Fatal(fits, err)
				}
				p.f.Close()
			}
		})
		b.Run(fmt.Sprintf("full%d", guests), func(b *testing.B) {
			for b.Loop() {
				if _, fits, err := p.Make(name, Sums{}); fits || err != nil {
					b.Fatal(fits, err)
				}
			}
		})
	}
}
