package lock

import (
	"strconv"
	"time"

	"uml/handle"
)

// An allowance is how long one look at all processes goes on reading what one account's
// descriptors have locked. Before the first byte of an fdinfo can be read the kernel has
// written down every lock of that open file, and gone through all that its inode has
// (fs/proc/fd.c, fs/locks.c): as many as the account likes. What the processes of one who
// has used it up have open counts as locked by them, unread.
//
// Root has no bound, and nobody's account is asked for while the whole look is short.
type allowance struct {
	all  time.Duration
	each map[int]time.Duration // by real user: a setuid program has its caller's descriptors
}

const allowed = 200 * time.Millisecond

// A reader is one process of a look.
type reader struct {
	*allowance
	pid  int
	user int // -1: not asked for
}

// over says whether its account has used it up.
func (r *reader) over() bool {
	if r.all < allowed {
		return false
	}
	if r.user < 0 {
		status, err := handle.ReadProc("/proc/" + strconv.Itoa(r.pid) + "/status")
		if err != nil {
			return false // it is gone
		}
		r.user = handle.UIDs(status)[0]
	}
	return r.user > 0 && r.each[r.user] >= allowed
}

func (r *reader) spent(t time.Duration) {
	r.all += t
	if r.user > 0 {
		if r.each == nil {
			r.each = map[int]time.Duration{}
		}
		r.each[r.user] += t
	}
}
