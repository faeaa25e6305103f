package supervisor

// An Order is what a supervisor can be told.
type Order int

const (
	Start     Order = iota // start it, and again whenever it ends
	Stop                   // TERM, and keep it down. To a guest that is pulling the plug
	Once                   // start it if it is down; do not start it again
	Stay                   // do not start it again; it is sent no signal
	Terminate              // TERM. With "up" that restarts it
	Kill                   // KILL
	Exit                   // end when the process has ended; runsv sends it TERM for that
)

// letter is the byte that the supervisor reads. daemontools and runit have no
// letter for Stay: to "o" they start a process that is down, to "d" they send TERM
// to one that is up. One that ends just now is started once more, so whoever asks
// for this looks again.
func (o Order) letter(s Status) byte {
	if o != Stay {
		return "udo?tkx"[o]
	}
	switch {
	case s.Kind == S6:
		return 'O'
	case s.PID == 0:
		return 'd'
	}
	return 'o'
}
