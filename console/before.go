package console

import (
	"bytes"
	"os"
	"time"
)

// settle is how long what is shown before the console goes on when the console has
// something to show: a log is looked at each second.
const settle = 1200 * time.Millisecond

// A before is what is to be seen before the console has anything to show: the log of
// a guest that boots.
type before struct {
	from *os.File // nil: nothing is
	over chan struct{}
}

// shows shows it.
func (f *before) shows(v *view) {
	defer close(f.over)
	b := make([]byte, 4<<10)
	for f.from != nil {
		n, err := f.from.Read(b)
		if err != nil {
			return
		}
		line := b[:n]
		if v.screen.typed { // and so it is raw
			line = bytes.ReplaceAll(line, []byte("\n"), []byte("\r\n"))
		}
		if err := v.screen.write(line, v.left.Load); err != nil {
			v.end(err)
			return
		}
	}
}

// settle lets what is on its way still come, for its time from the first call on.
func (f *before) settle() {
	select {
	case <-f.over:
		return
	default:
	}
	f.from.SetReadDeadline(time.Now().Add(settle))
	<-f.over
}

// end ends it at once.
func (f *before) end() {
	if f.from != nil {
		f.from.Close() // and again does nothing
	}
}
