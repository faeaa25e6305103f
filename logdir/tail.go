package logdir

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"time"

	"uml/handle"
)

const (
	block   = 64 << 10
	maxLine = 64 << 10 // a longer one is printed in pieces
)

// end finds where the last n lines of a file begin, by reading it from its end;
// left is how many it has too few. All of them: n is negative.
func end(f *os.File, n int) (at int64, left int, err error) {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil || n < 0 {
		return 0, n, err
	}
	b := make([]byte, block)
	for at = size; at > 0; {
		part := b[:min(at, block)]
		at -= int64(len(part))
		if _, err := f.ReadAt(part, at); err != nil {
			return 0, n, err
		}
		if at+int64(len(part)) == size {
			part = bytes.TrimSuffix(part, []byte("\n")) // it ends the last line
			if n == 0 {
				return size, 0, nil
			}
		}
		for i := bytes.LastIndexByte(part, '\n'); i >= 0; i = bytes.LastIndexByte(part[:i], '\n') {
			if n--; n == 0 {
				return at + int64(i) + 1, 0, nil
			}
		}
	}
	if size > 0 && n > 0 {
		n-- // the first line
	}
	return 0, n, nil
}

// ofFile is what the stamps of a file are ahead.
func ofFile(f *os.File) time.Duration {
	st, err := f.Stat()
	if err != nil {
		return 0
	}
	b := make([]byte, min(st.Size(), block))
	if _, err := f.ReadAt(b, st.Size()-int64(len(b))); err != nil {
		return 0
	}
	for len(b) > 0 {
		i := bytes.LastIndexByte(b, '\n')
		if last, _, ok := parseStamp(string(b[i+1:])); ok {
			return skew(last, st.ModTime())
		}
		b = b[:max(i, 0)]
	}
	return 0
}

// Tail prints the last n lines of the log; all of them if n is negative.
func Tail(to io.Writer, name string, n int) error {
	t, err := tail(to, name, n)
	if err != nil {
		return err
	}
	defer t.close()
	return t.p.flush()
}

// a tailer has printed what there was up to a point.
type tailer struct {
	dir  *handle.Dir
	file *os.File // which it reads; nil: there was none yet
	past string   // no file up to this name is looked at again
	p    printer
}

func (t *tailer) close() {
	if t.file != nil {
		t.file.Close()
	}
	t.dir.Close()
}

func tail(to io.Writer, name string, n int) (*tailer, error) {
	dir, err := handle.OpenDir(name)
	if err != nil {
		return nil, err
	}
	t := &tailer{dir: dir, p: printer{to: to}}
	if err := t.start(n); err != nil {
		t.close()
		return nil, err
	}
	return t, nil
}

func (t *tailer) start(n int) error {
	f, err := look(t.dir)
	if err != nil {
		return err
	}
	t.file = f.current
	if last := len(f.finished) - 1; last >= 0 && f.finished[last] != previous {
		t.past = f.finished[last]
	} else if last > 0 {
		t.past = f.finished[last-1]
	}
	from, left := int64(0), n
	if t.file != nil {
		if from, left, err = end(t.file, n); err != nil {
			return err
		}
	}
	if left != 0 {
		if err := t.before(f.finished, left); err != nil {
			return err
		}
	}
	return t.read(t.file, from)
}

// before prints the last n lines of the files.
func (t *tailer) before(names []string, n int) error {
	var open []*os.File
	var from []int64
	defer func() {
		for _, f := range open {
			f.Close()
		}
	}()
	for i := len(names) - 1; i >= 0 && n != 0; i-- {
		f, err := openFile(t.dir, names[i])
		if errors.Is(err, fs.ErrNotExist) { // the logger keeps so many, and no more
			break
		}
		if err != nil {
			return err
		}
		at, left, err := end(f, n)
		open, from, n = append(open, f), append(from, at), left
		if err != nil {
			return err
		}
	}
	for i := len(open) - 1; i >= 0; i-- {
		if err := t.read(open[i], from[i]); err != nil {
			return err
		}
	}
	return nil
}

// read prints what a file holds from there on. What is added meanwhile is no more
// of it: a guest that floods its log could keep that up for ever.
func (t *tailer) read(f *os.File, from int64) error {
	if f == nil {
		return nil
	}
	if _, err := f.Seek(from, io.SeekStart); err != nil {
		return err
	}
	st, err := f.Stat()
	if err != nil {
		return err
	}
	t.p.begin(f)
	return t.on(io.LimitReader(f, st.Size()-from))
}

// on prints what was added to a file since.
func (t *tailer) on(f io.Reader) error {
	b := make([]byte, block)
	for {
		n, err := f.Read(b)
		if err := t.p.print(b[:n]); err != nil {
			return err
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
