package supervisor

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"
)

// A Kind is a supervisor that can be told by its status file.
type Kind int

const (
	None        Kind = iota // never supervised, or a supervisor without a status file
	Daemontools             // supervise(8)
	Runit                   // runsv(8)
	S6                      // s6-supervise
)

func (k Kind) String() string {
	return [...]string{"none", "daemontools", "runit", "s6"}[k]
}

// Want is what the supervisor was told to do about its process.
type Want int

const (
	AsIs Want = iota // daemontools: start it no more, but leave it alone
	Up               // start it whenever it has ended
	Down             // keep it down. With runit and s6 a process that runs "once" has this too
)

func (w Want) String() string { return [...]string{"as is", "up", "down"}[w] }

// A Status is what a supervisor says of the process that it started. Where
// Supervised is false all but Kind is zero: what stands in the file then may have
// been true long ago.
type Status struct {
	Kind       Kind
	Supervised bool      // a supervisor runs, and reads orders
	PID        int       // its process; 0: none
	Since      time.Time // when that was started, or ended
	Want       Want
	Paused     bool
	Finishing  bool // the process is ./finish, which cleans up after ./run (runit, s6)
	Told       bool // it was sent TERM, to be down (daemontools, runit; s6 does not say)
	Unread     int  // orders that it has not taken yet; so Want and PID may be of before
}

// Parse takes a status file apart: 18 bytes are daemontools', 20 runit's, 35 or
// (from 2.12 on) 43 s6's. Only the supervisor's fifo tells whether it is running,
// so Supervised and Unread are not set.
func Parse(text []byte) (Status, error) {
	switch len(text) {
	case 18, 20:
		return parseDJB(text)
	case 35, 43:
		return parseS6(text)
	}
	return Status{}, fmt.Errorf("%d bytes are no status of daemontools, runit or s6", len(text))
}

// parseDJB: the time, the process (little-endian), paused, want; then runit's own
// two: TERM was sent, and 0 down, 1 run, 2 finish.
func parseDJB(text []byte) (s Status, err error) {
	s.Kind = Daemontools
	pid := binary.LittleEndian.Uint32(text[12:])
	if len(text) == 20 {
		s.Kind = Runit
		s.Finishing = text[19] == 2
	}
	s.Told = text[17] == 'd' && pid != 0 && (s.Kind == Daemontools || text[18] != 0)
	s.Paused = text[16] != 0
	switch text[17] {
	case 'u':
		s.Want = Up
	case 'd':
		s.Want = Down
	}
	return s.fill(text, djbLeap, uint64(pid))
}

// parseS6: the time, that of readiness, the process (big-endian), from 2.12 on its
// process group, how the last one ended, flags.
func parseS6(text []byte) (s Status, err error) {
	const paused, finishing, wantUp = 1, 2, 4
	flags := text[len(text)-1]
	s.Kind, s.Want = S6, Down
	if flags&wantUp != 0 {
		s.Want = Up
	}
	s.Paused = flags&paused != 0
	s.Finishing = flags&finishing != 0
	return s.fill(text, s6Leap, binary.BigEndian.Uint64(text[24:]))
}

// Seconds that TAI is said to be ahead of UTC: daemontools and runit count none of
// the leap seconds, s6 all 27. Another one has not been announced since 2016.
const (
	djbLeap = 10
	s6Leap  = 37
)

// fill takes what all have: a TAI64N label first (cr.yp.to/libtai/tai64.html).
func (s Status) fill(text []byte, leap int64, pid uint64) (Status, error) {
	const zero = 1 << 62 // 1970
	sec, nano := binary.BigEndian.Uint64(text), binary.BigEndian.Uint32(text[8:])
	if sec < zero || sec >= zero+math.MaxUint32<<2 || nano >= 1e9 {
		return Status{}, fmt.Errorf("%x is no time (TAI64N)", text[:12])
	}
	if pid > math.MaxInt32 {
		return Status{}, fmt.Errorf("%d is no process", pid)
	}
	s.Since = time.Unix(int64(sec-zero)-leap, int64(nano))
	s.PID = int(pid)
	return s, nil
}
