package builder

import (
	"os"
	"syscall"
	"time"
)

// watch shows how far a guest is that fills a disc with so many bytes, by what the disc takes
// of the host's: the guest itself has no way to say it but its console. It ends with done.
func (s *site) watch(what string, bytes int64) (done func()) {
	told, end := s.work(what, bytes)
	if told == nil {
		return end
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		before, shown := s.taken(), int64(0)
		for tick := time.NewTicker(200 * time.Millisecond); ; {
			select {
			case <-stop:
				tick.Stop()
				return
			case <-tick.C:
			}
			if now := min(s.taken()-before, bytes); now > shown {
				told(now - shown)
				shown = now
			}
		}
	}()
	return func() {
		close(stop)
		<-stopped
		end()
	}
}

func (s *site) taken() int64 {
	st, err := os.Stat(s.disc(0))
	if err != nil {
		return 0
	}
	return st.Sys().(*syscall.Stat_t).Blocks * 512
}
