package logdir

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"time"
)

// A printer takes files in pieces and prints lines. A line may begin in one file
// and end in the next.
type printer struct {
	to    io.Writer
	line  []byte // not yet ended
	fresh bool   // nothing of this file was printed
	skew  time.Duration
	known bool // skew is
	file  *os.File
}

// begin says that what comes is another file's.
func (p *printer) begin(f *os.File) { p.file, p.fresh, p.known = f, true, false }

func (p *printer) print(b []byte) error {
	if len(b) > 0 && p.fresh {
		p.fresh = false
		// A logger that was killed in the middle of a line goes on with a new one.
		if _, _, ok := parseStamp(string(b[:min(len(b), stampLen)])); ok && len(p.line) > 0 {
			if err := p.flush(); err != nil {
				return err
			}
		}
	}
	if len(b) > 0 && !p.known {
		p.skew, p.known = ofFile(p.file), true
	}
	var out bytes.Buffer
	for len(b) > 0 {
		line, rest, ended := bytes.Cut(b, []byte("\n"))
		p.line = append(p.line, line...)
		if ended || len(p.line) > maxLine {
			fmt.Fprintln(&out, human(string(p.line), p.skew))
			p.line = p.line[:0]
		}
		b = rest
	}
	return p.write(out.Bytes())
}

// flush prints a line that nobody has ended.
func (p *printer) flush() error {
	if len(p.line) == 0 {
		return nil
	}
	line := human(string(p.line), p.skew) + "\n"
	p.line = p.line[:0]
	return p.write([]byte(line))
}

func (p *printer) write(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	if _, err := p.to.Write(b); err != nil {
		return fmt.Errorf("print the log: %w", err)
	}
	return nil
}
