package desk

import (
	"testing"
	"time"
)

func TestLimitsOfAccount(t *testing.T) {
	var l limits
	now := time.Unix(1000, 0)
	for i := range maxOfAccount {
		if err := l.enter(7, now); err != nil {
			t.Fatalf("%d: %v", i, err)
		}
	}
	if l.enter(7, now) == nil {
		t.Error("one connection more than an account may have")
	}
	if err := l.enter(8, now); err != nil {
		t.Errorf("another account: %v", err)
	}
	l.leave(7)
	if err := l.enter(7, now); err != nil {
		t.Errorf("after one was closed: %v", err)
	}
}

func TestLimitsOfRate(t *testing.T) {
	var l limits
	now := time.Unix(1000, 0)
	ask := func() bool {
		if l.enter(7, now) != nil {
			return false
		}
		l.leave(7)
		return true
	}
	count := func() (n int) {
		for ask() {
			n++
		}
		return n
	}
	if n := count(); n != burst {
		t.Errorf("at once: %d", n)
	}
	now = now.Add(3 * time.Second)
	if n := count(); n != 3*each {
		t.Errorf("after 3 s: %d", n)
	}
	now = now.Add(time.Hour)
	if n := count(); n != burst {
		t.Errorf("after an hour: %d", n)
	}
}

func TestLimitsInAll(t *testing.T) {
	var l limits
	now := time.Unix(1000, 0)
	uid := 0
	for ; l.enter(uid/maxOfAccount, now) == nil; uid++ {
	}
	if uid != maxConnections {
		t.Errorf("%d connections at once", uid)
	}
	for i := range uid {
		l.leave(i / maxOfAccount)
	}
	// Who has not asked for some time is forgotten.
	if l.enter(1<<20, now.Add(time.Minute)) != nil || len(l.of) != 1 || l.all != 1 {
		t.Errorf("%d shares, %d connections are left", len(l.of), l.all)
	}
}

func TestBusy(t *testing.T) {
	var b busy
	done, err := b.begin("/m/a", "a stop")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.begin("/m/a", "a start"); err == nil || err.Error() != "a stop is under way already (wait for its end)" {
		t.Errorf("got %v", err)
	}
	if other, err := b.begin("/m/b", "a stop"); err != nil {
		t.Error(err)
	} else {
		other()
	}
	done()
	if _, err := b.begin("/m/a", "a start"); err != nil {
		t.Error(err)
	}
}
