package console

import "bytes"

// before shows what was to be seen before the console has anything to show: the log
// of a guest that boots.
func (v *view) before() {
	if v.Before == nil {
		return
	}
	b := make([]byte, 4<<10)
	for {
		n, err := v.Before.Read(b)
		if err != nil || v.begun.Load() || v.left.Load() {
			return
		}
		line := b[:n]
		if v.screen.typed { // and so it is raw
			line = bytes.ReplaceAll(line, []byte("\n"), []byte("\r\n"))
		}
		v.screen.write(line, v.left.Load)
	}
}

// present: it is the console's turn.
func (v *view) present() {
	if !v.begun.Swap(true) && v.Before != nil {
		v.Before.Close()
	}
}
