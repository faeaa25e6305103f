package logdir

import (
	"strconv"
	"time"
)

// The label of a moment in TAI64N (cr.yp.to/libtai/tai64.html): "@", then seconds
// in 16 and nanoseconds in 8 hexadecimal digits. 1970 began at 2^62 + 10.
const (
	stampLen = 25
	epoch    = 1<<62 + 10
)

// leapSeconds are what skalibs adds to the moments that s6-log writes, since 2017;
// multilog and svlogd leave them out.
const leapSeconds = 27

// parseStamp reads the stamp that a line, or the name of a file, begins with. A
// stamp that no clock of ours can have shown is none.
func parseStamp(line string) (at time.Time, rest string, ok bool) {
	if len(line) < stampLen || line[0] != '@' {
		return at, line, false
	}
	for _, c := range []byte(line[1:stampLen]) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return at, line, false
		}
	}
	s, err1 := strconv.ParseUint(line[1:17], 16, 64)
	ns, err2 := strconv.ParseUint(line[17:stampLen], 16, 32)
	if err1 != nil || err2 != nil || ns >= 1e9 || s < epoch || s-epoch > 1<<38 {
		return at, line, false
	}
	return time.Unix(int64(s-epoch), int64(ns)), line[stampLen:], true
}

// skew is what to take from the stamps of a file: its last one cannot be later
// than the file's own time. One that is so by the leap seconds is s6-log's.
func skew(last, modified time.Time) time.Duration {
	const leap = leapSeconds * time.Second
	if ahead := last.Sub(modified); ahead > leap/2 && ahead < leap*3/2 {
		return leap
	}
	return 0
}
