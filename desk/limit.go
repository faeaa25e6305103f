package desk

import (
	"sync"
	"time"

	"uml/fault"
)

const (
	maxConnections = 1000 // of all accounts
	maxOfAccount   = 8
	burst          = 20 // connections of an account at once, and
	each           = 2  // so many a second after that
)

// strangers share what an account has: users who have no machine.
const strangers = -1

// limits count connections. An account is forgotten when its share is whole again.
type limits struct {
	mu    sync.Mutex
	all   int
	of    map[int]*share
	swept time.Time
}

// A share is an account's.
type share struct {
	open   int
	tokens float64
	at     time.Time
}

// knows says whether the user has an account's share already.
func (l *limits) knows(uid int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.of[uid] != nil
}

// enter takes a connection in, which leave ends.
func (l *limits) enter(uid int, now time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.of == nil {
		l.of = map[int]*share{}
	}
	l.sweep(now)
	s := l.of[uid]
	if s == nil {
		s = &share{tokens: burst, at: now}
		l.of[uid] = s
	}
	s.fill(now)
	switch {
	case s.open >= maxOfAccount:
		return fault.Temporary("too many connections of this account, %d (close one)", s.open)
	case s.tokens < 1:
		return fault.Temporary("too many requests of this account (wait a second)")
	case l.all >= maxConnections:
		return fault.Temporary("too many connections (try again later)")
	}
	s.tokens--
	s.open++
	l.all++
	return nil
}

func (l *limits) leave(uid int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.of[uid].open--
	l.all--
}

func (s *share) fill(now time.Time) {
	s.tokens = min(burst, s.tokens+each*now.Sub(s.at).Seconds())
	s.at = now
}

// sweep forgets accounts, now and then.
func (l *limits) sweep(now time.Time) {
	if now.Sub(l.swept) < burst/each*time.Second {
		return
	}
	l.swept = now
	for uid, s := range l.of {
		if s.fill(now); s.open == 0 && s.tokens >= burst {
			delete(l.of, uid)
		}
	}
}

// busy is which machines are being stopped or started. Two who do that at once
// would undo each other's work.
type busy struct {
	mu sync.Mutex
	of map[string]string
}

// begin takes the machine; done lets it go.
func (b *busy) begin(machine, what string) (done func(), err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.of == nil {
		b.of = map[string]string{}
	}
	if other := b.of[machine]; other != "" {
		return nil, fault.Temporary("%s is under way already (wait for its end)", other)
	}
	b.of[machine] = what
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.of, machine)
	}, nil
}
