//go:build !amd64

package jail

// Numbers of system calls are an architecture's own, and no user-mode kernel of
// another was seen yet whose calls could be listed: there is no filter.
const arch = 0

var (
	allowed, underSeccomp []uint32
	checks                []check
)
