package shell

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/request"
)

// The test's own program is a shell for who says where the service is.
func TestMain(m *testing.M) {
	if socket := os.Getenv("UML_TEST_SOCKET"); socket != "" {
		err := Protect()
		if err == nil {
			err = Run(context.Background(), socket, os.Getenv("UML_TEST_LINE"), os.Getenv("SSH_ORIGINAL_COMMAND"), os.Getenv("SSH_CONNECTION"))
		}
		os.Exit(fault.Report(os.Stderr, Name, err))
	}
	os.Exit(m.Run())
}

func machine(state string) map[request.Act]request.Answer {
	m := &request.Machine{Name: "web", State: state, Supervised: "daemontools", Promised: 64 << 20, Addresses: []string{"192.0.2.20"}, Discs: []request.Disc{{Device: "ubd0", Size: 3 << 30, Allocated: 5 << 20}}}
	return map[request.Act]request.Answer{
		request.Login: {Machine: m}, request.Status: {Machine: m}, request.Start: {Text: "started"}, request.Stop: {Text: "clean (3.0s)"},
		request.Kill: {Code: fault.MayPass, Fault: "web: the guest is down\x1b[2J"},
	}
}

// shell runs one; its input is what is given.
func run(t *testing.T, socket, line, input string, env ...string) (out, errs string, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	cmd.Env = append([]string{"UML_TEST_SOCKET=" + socket, "UML_TEST_LINE=" + line, "SSH_CONNECTION=192.0.2.7 1 192.0.2.1 22"}, env...)
	cmd.Stdin = strings.NewReader(input)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return o.String(), e.String(), cmd.ProcessState.ExitCode()
}

func TestCommands(t *testing.T) {
	t.Parallel()
	service := newStand(t, machine("down"))
	for _, c := range []struct {
		line, input, forced string
		out, errs           string
		code                int
	}{
		{line: "status", out: "web is down\nmemory     64M\naddresses  192.0.2.20\nubd0       3G, 5M of it in use on the host\n"},
		{line: "start", out: "started\n"},
		{line: "stop", out: "asked its init\nclean (3.0s)\n"},
		{line: "kill", errs: `uml-shell: fatal: web: the guest is down\x1b[2J` + "\n", code: 111},
		{line: "nosuch", errs: `uml-shell: fatal: "nosuch" is no command (try: help)` + "\n", code: 100},
		{line: "sttaus", errs: `uml-shell: fatal: "sttaus" is no command (did you mean status? try: help)` + "\n", code: 100},
		{line: "/usr/lib/openssh/sftp-server", errs: "uml-shell: fatal: sftp-server: this account has no files and no programs: it can only look after its guest (try: help)\n", code: 100},
		{line: "status web", errs: "uml-shell: fatal: usage: status (try: help status)\n", code: 100},
		{line: "status; id", errs: "uml-shell: fatal: ';' has no meaning here: a command is words and blanks (try: help)\n", code: 100},
		{line: Name, forced: "addresses", out: "192.0.2.20\n"},
		{line: "status", forced: "stop", out: "web is down\nmemory     64M\naddresses  192.0.2.20\nubd0       3G, 5M of it in use on the host\n"},
		{line: Name, forced: Name, errs: `uml-shell: fatal: "uml-shell" is no command (try: help)` + "\n", code: 100},
		{input: "addresses\nexit\nstop\n", out: "192.0.2.20\n"},
		{input: "addresses\nnosuch\nstop\n", out: "192.0.2.20\n", errs: `uml-shell: fatal: "nosuch" is no command (try: help)` + "\n", code: 100},
		{line: "exit"},
	} {
		out, errs, code := run(t, service.socket, c.line, c.input, "SSH_ORIGINAL_COMMAND="+c.forced)
		if out != c.out || errs != c.errs || code != c.code {
			t.Errorf("%q %q %q: exit %d\n%s%s", c.line, c.forced, c.input, code, out, errs)
		}
	}
	stops := 0
	for _, r := range service.acts() {
		if r.Act == request.Stop {
			stops++
		}
		if r.From != "192.0.2.7" {
			t.Errorf("%s is from %q", r.Act, r.From)
		}
	}
	if stops != 1 {
		t.Errorf("%d stops", stops)
	}
	at := time.Date(2026, 11, 28, 9, 0, 0, 0, time.UTC)
	dated := machine("down")
	dated[request.Status].Machine.Since = &at
	if out, _, _ := run(t, newStand(t, dated).socket, "status", "", "TZ=:/usr/share/zoneinfo/Asia/Tokyo", "HOME=/root"); !strings.HasPrefix(out, "web is down since "+at.Local().Format("2006-01-02 15:04:05")) {
		t.Errorf("with another zone in its environment: %s", out)
	}
	if _, errs, code := run(t, service.socket+"no", "status", ""); code != 111 || !strings.Contains(errs, "does not run") {
		t.Errorf("without the service: exit %d, %s", code, errs)
	}
}

// A customer at his terminal.
func TestPrompt(t *testing.T) {
	t.Parallel()
	service := newStand(t, machine("up"))
	tty, cmd := terminal(t, service.socket)
	tty.sees("web is up")
	tty.sees("web> ")
	before := tty.modes()
	for _, step := range [][2]string{
		{"statu\t\r", "memory     64M"},
		{"garbage\x03addr\t\r", "192.0.2.20"}, // Ctrl-C clears the line
		{"\x1b[A\r", "192.0.2.20"},            // the last once more
		{"stopp\x7f\r", "clean (3.0s)"},       // Backspace
		{"xx\x15nosuch\r", `"nosuch" is no command`},
		{"help kill\r", "power cut"},
		{"restart\r", "restart"},
	} {
		tty.clear()
		tty.types(step[0])
		tty.sees(step[1])
	}
	time.Sleep(200 * time.Millisecond) // the command waits, and its terminal is cooked
	tty.clear()
	tty.types("\x03")
	tty.sees("interrupted; what was begun goes on")
	tty.sees("web> ")
	tty.clear()
	tty.types("restart\r")
	tty.sees("restart\r\n")
	time.Sleep(200 * time.Millisecond)
	tty.types("\x1c")
	tty.sees("interrupted; what was begun goes on")
	tty.sees("web> ")
	if after := tty.modes(); after != before {
		t.Errorf("at the prompt the terminal is %+v, was %+v", after, before)
	}
	tty.types("\x04")
	tty.left(cmd, fault.OK)
}

// A line follows the window.
func TestPromptResized(t *testing.T) {
	t.Parallel()
	service := newStand(t, machine("up"))
	tty, _ := terminal(t, service.socket)
	tty.sees("web> ")
	tty.clear()
	unix.IoctlSetWinsize(int(tty.master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 40})
	tty.sees("web> ") // drawn anew
	tty.types(strings.Repeat("a", 60))
	tty.sees(strings.Repeat("a", 35) + "\r\n" + strings.Repeat("a", 25))
}

// One command at a terminal is interrupted as at the prompt.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	service := newStand(t, machine("up"))
	for _, key := range []string{"\x03", "\x1c"} {
		tty, cmd := terminal(t, service.socket, "UML_TEST_LINE=restart")
		tty.sees("restart") // after a second
		tty.types(key)
		tty.sees("interrupted; what was begun goes on")
		cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code != fault.MayPass || strings.Contains(tty.shown(), "goroutine") {
			t.Errorf("%q: exit %d, %.400q", key, code, tty.shown())
		}
	}
}

// One that is told to end leaves its terminal as it was.
func TestPromptEnds(t *testing.T) {
	t.Parallel()
	service := newStand(t, machine("up"))
	tty, cmd := terminal(t, service.socket)
	tty.sees("web> ")
	cmd.Process.Signal(unix.SIGTERM)
	tty.left(cmd, fault.MayPass)
}

// Without a terminal, what waits ends when nobody is there to hear of it.
func TestUnheard(t *testing.T) {
	t.Parallel()
	service := newStand(t, machine("up"))
	for _, line := range []string{fmt.Sprintf("log -f -n %d", silent), "console"} {
		input, typed, err := os.Pipe() // of which nothing comes
		if err != nil {
			t.Fatal(err)
		}
		defer typed.Close()
		output, to, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
		cmd.Env = []string{"UML_TEST_SOCKET=" + service.socket, "UML_TEST_LINE=" + line}
		cmd.Stdin, cmd.Stdout = input, to
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		asked := len(service.acts())
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		to.Close()
		for end := time.Now().Add(time.Minute); len(service.acts()) < asked+2 && time.Now().Before(end); {
			time.Sleep(10 * time.Millisecond)
		}
		output.Close()
		ends(t, line, cmd)
	}
}

// A console that cannot be shown ends, whatever it waits for.
func TestConsoleUnseen(t *testing.T) {
	t.Parallel()
	service := newStand(t, machine("up"))
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, slave := pair(t)
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	cmd.Env = []string{"UML_TEST_SOCKET=" + service.socket, "UML_TEST_LINE=console"}
	cmd.Stdin, cmd.Stdout = slave, full
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(service.guest, "login: ")
	ends(t, "console", cmd)
	if code := cmd.ProcessState.ExitCode(); code != fault.MayPass {
		t.Errorf("exit %d", code)
	}
}

func ends(t *testing.T, what string, cmd *exec.Cmd) {
	t.Helper()
	done := make(chan struct{})
	go func() { cmd.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Errorf("%s: has not ended", what)
		cmd.Process.Kill()
		<-done
	}
}

// No process of the account may look into it.
func TestProtect(t *testing.T) {
	t.Parallel()
	service := newStand(t, machine("up"))
	tty, cmd := terminal(t, service.socket)
	tty.sees("web> ")
	if st, err := os.Stat(fmt.Sprintf("/proc/%d/mem", cmd.Process.Pid)); err != nil || st.Sys().(*syscall.Stat_t).Uid != 0 {
		t.Errorf("its memory: %v, %v", st, err)
	}
	all, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		if to, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", cmd.Process.Pid, e.Name())); to == "/dev/null" {
			t.Errorf("what was left open for it is: %s", e.Name())
		}
	}
	limits, _ := os.ReadFile(fmt.Sprintf("/proc/%d/limits", cmd.Process.Pid))
	if !strings.Contains(string(limits), "Max core file size        0                    0") {
		t.Errorf("%s", limits)
	}
}
