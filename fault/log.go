package fault

import (
	"cmp"
	"io"
	"strconv"
	"strings"
	"time"
)

// A Log writes a program's messages, a line each and by one write(2): for people, or for
// programs as a JSON object.
type Log struct {
	Out     io.Writer
	Program string
	Machine string // that all is about; "" if there are several, or none
	JSON    bool
}

// Levels of a message.
const (
	levelInfo    = "info"
	levelWarning = "warning"
	levelFatal   = "fatal"
)

// warning is what a line begins with that warns.
const warning = "warning: "

// Say writes a line of what goes on, which warns if it begins so. Without an ID it is a Note
// or a Warning.
func (l *Log) Say(id ID, line string) {
	if !l.JSON {
		io.WriteString(l.Out, l.Program+": "+Line(line)+"\n")
		return
	}
	line, warns := strings.CutPrefix(line, warning)
	level, other := levelInfo, Note
	if warns {
		level, other = levelWarning, Warning
	}
	if id == "" {
		id = other
	}
	l.object(level, id, l.Machine, line, OK)
}

// Fail writes each part of err, and returns the exit code. Nil writes nothing.
func (l *Log) Fail(err error) int {
	code := Code(err)
	for _, part := range Parts(err) {
		if l.JSON {
			l.object(levelFatal, IDOf(part), cmp.Or(MachineOf(part), l.Machine), part.Error(), code)
			continue
		}
		io.WriteString(l.Out, l.Program+": "+levelFatal+": "+Line(part.Error())+"\n")
	}
	return code
}

// object is written by hand: encoding/json and its reflection would be a cost for who has
// no other use of it. What Line leaves is printable, so that strconv quotes only what JSON
// does, and as JSON does.
func (l *Log) object(level string, id ID, machine, text string, code int) {
	b := make([]byte, 0, 256+len(text))
	field := func(name, value string) {
		b = append(append(append(b, '"'), name...), '"', ':')
		b = strconv.AppendQuote(b, Line(value))
		b = append(b, ',')
	}
	b = append(b, '{')
	field("time", time.Now().UTC().Format("2006-01-02T15:04:05.000Z07:00"))
	field("program", l.Program)
	field("level", level)
	field("id", string(id))
	if machine != "" {
		field("machine", machine)
	}
	if level == levelFatal {
		b = append(append(append(b, `"code":`...), strconv.Itoa(code)...), ',')
	}
	field("message", text)
	b = append(b[:len(b)-1], '}', '\n')
	l.Out.Write(b)
}
