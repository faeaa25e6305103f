package packet

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// Apart closes a socket whose queue may hold descriptors of somebody's who is not
// trusted. Who drops the last of a descriptor closes what it is, and waits for that:
// for a TCP socket with SO_LINGER, which nobody reads, as long as its owner said
// (net/ipv4/af_inet.c, inet_release). Only a thread that ends does not: so one that
// has the table of descriptors for itself has the last.
func Apart(closes func()) {
	ready, closed := make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread() // for good: it ends with this
		ready <- unix.Unshare(unix.CLONE_FILES)
		<-closed
	}()
	<-ready // without memory for a table it is as good as we can
	closes()
	close(closed)
}
