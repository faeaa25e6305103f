package logdir

import (
	"regexp"
	"strings"
	"sync"
	"time"

	"uml/mconsole"
)

// layout is a stamp as it is printed, in local time.
const layout = "2006-01-02 15:04:05.000"

// sequence is what colours a terminal's text and moves its cursor (ECMA-48: CSI,
// strings such as the window's title, and the two-byte kind). It is dropped whole:
// a guest's boot is full of it, and it is not what anybody said.
var sequence = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile("\x1b(?:\\[[0-?]*[ -/]*[@-~]|[\\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\\\)|[ -/]*[0-Z\\\\^-~])")
})

// human is a line as it is printed: its stamp in local time, if it has one, and
// the rest fit for a terminal.
func human(line string, skew time.Duration) string {
	at, text, ok := parseStamp(line)
	text = mconsole.Clean(sequence().ReplaceAllString(strings.TrimRight(text, "\r"), ""))
	if !ok {
		return text
	}
	return at.Add(-skew).Local().Format(layout) + text
}
