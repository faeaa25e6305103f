package packet

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// Apart closes a socket whose queue may hold descriptors of somebody's who is not
// trusted. Who drops the last of a descriptor closes what it is, and waits for that:
// for a TCP socket with SO_LINGER, which nobody reads, as long as its owner said
// (net/ipv4/af_inet.c, inet_release). Only a thread that ends does not: so one that
// has a table of descriptors of its own has the last.
func Apart(closes func()) {
	ready, closed := make(chan error), make(chan struct{})
	go apart(ready, closed)
	<-ready // an error is no memory: it is closed as others are
	closes()
	close(closed)
}

func apart(ready chan<- error, closed <-chan struct{}) {
	runtime.LockOSThread() // for good: it ends with this
	if unix.Gettid() == unix.Getpid() {
		defer runtime.UnlockOSThread()
		done := make(chan struct{})
		go func() { // the first thread, which we hold meanwhile, is never ended
			defer close(done)
			apart(ready, closed)
		}()
		<-done
		return
	}
	ready <- unix.Unshare(unix.CLONE_FILES)
	<-closed
}
