package test

import (
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

// Promise 1, under fire: a guest that is ended in every way and at any moment,
// under two supervises that both want it, and starts by hand beside them. Its disc
// is never opened while another can still write it, and a guest that ended in
// order leaves it in order.
//
// UML_SEED repeats a run's choices, not the kernel's timing; UML_ROUNDS makes it
// longer (make proof).
func TestRounds(t *testing.T) {
	t.Parallel()
	rounds, seed := number(t, "UML_ROUNDS", 12), number(t, "UML_SEED", time.Now().UnixNano())
	const hosts = 2 // a start waits more than it computes, a guest's boot does not
	t.Logf("UML_SEED=%d UML_ROUNDS=%d", seed, rounds)
	random := rand.New(rand.NewPCG(uint64(seed), 0))
	var deck []string
	for len(deck) < int(rounds) {
		for _, i := range random.Perm(len(ends)) {
			deck = append(deck, ends[i])
		}
	}
	deck = deck[:rounds]
	var mu sync.Mutex
	all := map[string]int{}
	var parts []func()
	for deck := range slices.Chunk(slices.Clip(deck), (len(deck)+hosts-1)/hosts) {
		seed := random.Uint64()
		parts = append(parts, func() {
			t.Run("host", func(t *testing.T) {
				s := besiege(t, seed)
				for i, end := range append(deck, "in order") {
					s.round(i, end)
				}
				mu.Lock()
				defer mu.Unlock()
				for what, n := range s.total() {
					all[what] += n
				}
			})
		})
	}
	together(parts)
	for _, what := range slices.Sorted(maps.Keys(all)) {
		t.Logf("%5d %s", all[what], what)
	}
}

// together runs the parts of a long test at once, and now: parallel subtests would wait until
// all other tests have begun, and go on long after them.
func together(parts []func()) {
	var all sync.WaitGroup
	for _, part := range parts {
		all.Go(part)
	}
	all.Wait()
}

func number(t *testing.T, name string, otherwise int64) int64 {
	t.Helper()
	text, ok := os.LookupEnv(name)
	if !ok {
		return otherwise
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		t.Fatal(name, err)
	}
	return n
}

// ends are the ways in which a round goes.
var ends = []string{
	"TERM", "KILL", "svc -t", "svc -k", "svc -d", "TERM", "KILL", "svc -t", "svc -k", "svc -d",
	"by hand", "reboots", "halts", "panics", "in order", "in order", "crash", "crash",
}
