package mconsole

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"uml/fault"
)

const (
	magic      = 0xcafebabe
	version    = 2
	maxRequest = maxData - 1 // of 512 the kernel says that it is too large
)

// request is the datagram of a command. The kernel takes a short one, but what is
// missing would be that of the one before it: the command ends with a NUL.
func request(command string) ([]byte, error) {
	if len(command) > maxRequest-1 {
		return nil, fault.Usage.Permanent("a command of %d bytes: the kernel takes %d", len(command), maxRequest-1)
	}
	b := binary.NativeEndian.AppendUint32(nil, magic)
	b = binary.NativeEndian.AppendUint32(b, version)
	b = binary.NativeEndian.AppendUint32(b, uint32(len(command)+1))
	return append(append(b, command...), 0), nil
}

// A Word is a command that a guest's kernel may be sent, with all that may follow
// it. The kernel looks at a command's first letters only ("haltnot" halts), so
// nothing else is ever sent.
type Word struct {
	Name string // ours
	Arg  string // what it takes, for a usage text; "" for nothing
	Does string

	kernel string            // the kernel's name for it
	may    func(string) bool // nil: it takes nothing
	wrong  string            // what to say of another argument
}

// Words are all of them.
var Words = []Word{
	{Name: "version", Does: "print the kernel's version", kernel: "version"},
	{Name: "cad", Does: "press Ctrl-Alt-Del: the guest's init decides", kernel: "cad"},
	{Name: "pause", Does: "stop the guest until resume", kernel: "stop"},
	{Name: "resume", Does: "let a paused guest go on", kernel: "go"},
	{Name: "config", Arg: "DEVICE", Does: "print what a device is: con1, ssl0, ubd0", kernel: "config",
		may: isDevice, wrong: "is no device that can be asked for (con0, ssl0, ubd0 and so on)"},
	{Name: "sysrq", Arg: "LETTER", Does: "h: help; s: sync; u: all read-only; b: reboot at once", kernel: "sysrq",
		may: func(s string) bool { return len(s) == 1 && strings.Contains("hsub", s) }, wrong: "is none of the letters h, s, u and b (others can end a guest's kernel)"},
	{Name: "proc", Arg: "FILE", Does: "print a file of the guest's /proc", kernel: "proc",
		may: func(s string) bool { return isLine(s) && s[0] != '/' && !strings.Contains(s, " ") }, wrong: "is no name of a file in /proc (try meminfo or 1/status)"},
	{Name: "stack", Arg: "PID", Does: "print the kernel's stack of a process of the guest", kernel: "stack",
		may: func(s string) bool { return isNumber(s, 9) && s[0] != '0' }, wrong: "is no process number"},
	{Name: "log", Arg: "TEXT", Does: "write a line into the guest's kernel log", kernel: "log",
		may: isLine, wrong: "is not a line of plain text"},
	{Name: "halt", Does: "end the guest at once, nothing written back", kernel: "halt"},
	{Name: "reboot", Does: "end the guest at once, as a reboot; nothing written back", kernel: "reboot"},
}

func isDevice(s string) bool {
	for _, kind := range []string{"con", "ssl", "ubd"} {
		if n, ok := strings.CutPrefix(s, kind); ok {
			return isNumber(n, 2)
		}
	}
	return false
}

// isAdded and isRemoved: the kernel looks for the longest prefix that it knows, so
// that the whole of it is judged here.
func isAdded(s string) bool {
	for _, kind := range []string{"ubd", "vec", "eth"} {
		rest, ok := strings.CutPrefix(s, kind)
		if !ok || !isLine(s) || strings.Contains(s, " ") {
			continue
		}
		n := strings.TrimLeft(rest, "0123456789")
		if kind == "ubd" {
			n = strings.TrimLeft(n, "rsdct") // its flags
		}
		return n != rest && len(n) > 1 && (n[0] == '=' || kind == "vec" && n[0] == ':')
	}
	return false
}

func isRemoved(s string) bool {
	for _, kind := range []string{"ubd", "vec", "eth"} {
		if n, ok := strings.CutPrefix(s, kind); ok {
			return isNumber(n, 2)
		}
	}
	return false
}

func isNumber(s string, digits int) bool {
	return s != "" && len(s) <= digits && strings.Trim(s, "0123456789") == ""
}

// isLine: printable ASCII, and no space first.
func isLine(s string) bool {
	for _, c := range []byte(s) {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return s != "" && s[0] != ' '
}

// Command is what the kernel is sent for one of our words and what follows it.
func Command(word string, args []string) (string, error) {
	i := slices.IndexFunc(Words, func(w Word) bool { return w.Name == word })
	if i < 0 {
		return "", fault.Usage.Permanent("%q is no command", word)
	}
	w, arg := Words[i], strings.Join(args, " ")
	if w.may == nil {
		if len(args) > 0 {
			return "", fault.Usage.Permanent("%s: takes nothing, not %q", word, arg)
		}
		return w.kernel, nil
	}
	if len(args) == 0 {
		return "", fault.Usage.Permanent("%s: needs a %s", word, w.Arg)
	}
	if !w.may(arg) {
		return "", fault.Usage.Permanent("%s: %q %s", word, arg, w.wrong)
	}
	command := fmt.Sprintf("%s %s", w.kernel, arg)
	_, err := request(command)
	return command, err
}
