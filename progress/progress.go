// Package progress shows how far long work is: by a bar on a terminal, by a line now and
// then elsewhere.
package progress

import (
	"fmt"
	"io"
	"time"

	"github.com/schollz/progressbar/v3"
)

// None shows nothing.
func None(string, int64) (told func(int64), done func()) { return nil, func() {} }

// soon is how long work must take to be worth a bar.
const soon = 500 * time.Millisecond

// Bar shows a bar with rate and time left on a terminal, and takes it away at the end.
func Bar(terminal io.Writer) func(what string, bytes int64) (told func(int64), done func()) {
	return func(what string, bytes int64) (func(int64), func()) {
		begin := time.Now()
		bar := progressbar.NewOptions64(bytes, progressbar.OptionSetWriter(terminal), progressbar.OptionSetDescription(what),
			progressbar.OptionShowBytes(true), progressbar.OptionUseIECUnits(true), progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionFullWidth(), progressbar.OptionClearOnFinish(), progressbar.OptionSetPredictTime(true))
		bar.StartWithoutRender() // or its rate is that of all so far in no time
		var before int64
		shown := false
		told := func(n int64) {
			if !shown {
				before += n
				if time.Since(begin) < soon {
					return
				}
				shown, n = true, before
			}
			bar.Add64(n)
		}
		return told, func() {
			if shown {
				bar.Clear()
			}
		}
	}
}

// every is how often a line is worth it in a log.
const every = 10 * time.Second

// Lines says how far it is every 10 s.
func Lines(say func(string)) func(what string, bytes int64) (told func(int64), done func()) {
	return func(what string, bytes int64) (func(int64), func()) {
		l := lines{what: what, bytes: bytes, begin: time.Now()}
		l.next = l.begin.Add(every)
		return func(n int64) {
			l.have += n
			if now := time.Now(); !now.Before(l.next) {
				l.next = now.Add(every)
				say(l.text(now))
			}
		}, func() {}
	}
}

type lines struct {
	what        string
	bytes, have int64
	begin, next time.Time
}

// text is "merge: 40% of 10240 MiB, 512 MiB/s, 12s left".
func (l *lines) text(now time.Time) string {
	took := now.Sub(l.begin)
	rate := float64(l.have) / took.Seconds()
	left := "no end to be seen"
	if rate >= 1 {
		left = (time.Duration(float64(l.bytes-l.have)/rate) * time.Second).String() + " left"
	}
	return fmt.Sprintf("%s: %d%% of %d MiB, %.0f MiB/s, %s", l.what, l.have*100/max(l.bytes, 1), l.bytes>>20, rate/(1<<20), left)
}
