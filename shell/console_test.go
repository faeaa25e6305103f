package shell

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/request"
)

// Consoles after each other from one prompt: each key is for who is there.
func TestConsoles(t *testing.T) {
	t.Parallel()
	service := newStand(t, machine("up"))
	tty, cmd := terminal(t, service.socket)
	tty.sees("web> ")
	open := 0
	for i := range 5 {
		tty.clear()
		tty.types("console\r")
		fmt.Fprintf(service.guest, "login %d: ", i)
		tty.sees(fmt.Sprintf("login %d: ", i))
		for _, c := range "abcdefgh" {
			tty.types(string(c))
			if got := service.reads(1); got != string(c) {
				t.Fatalf("the guest reads %q, not %q", got, c)
			}
		}
		tty.types([]string{"\r~.", "\r\x1d."}[i%2])
		service.reads(1)
		tty.sees("\x1b[=0u") // keys are keys again
		tty.sees("web> ")
		tty.clear()
		tty.types("addresses\r")
		tty.sees("192.0.2.20")
		tty.sees("web> ")
		if n := count(t, cmd.Process.Pid); i == 0 {
			open = n
		} else if n != open {
			t.Errorf("after %d consoles it has %d descriptors, after one %d", i+1, n, open)
		}
	}
	tty.clear()
	tty.types("console tty1\rtyped ahead") // is for the guest
	if got := service.reads(11); got != "typed ahead" {
		t.Errorf("the guest reads %q", got)
	}
	tty.sees("(Ctrl-] and a dot")
	tty.types("\r~?")
	tty.sees("^]. leaves, ^]^] types ^]")
	tty.types("\r~\x1a\r~.")
	tty.sees("web> ")
	tty.types("exit\r")
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// What comes after a command, from a pipe too, is for the command.
func TestConsolePiped(t *testing.T) {
	t.Parallel()
	service := newStand(t, machine("up"))
	fmt.Fprint(service.guest, "# ")
	out, errs, code := run(t, service.socket, "", "addresses\nconsole con1\nid\n")
	if out != "192.0.2.20\n# " || errs != "" || code != 0 {
		t.Errorf("exit %d: %q, %q", code, out, errs)
	}
	if got := service.reads(3); got != "id\n" {
		t.Errorf("the guest reads %q", got)
	}
}

// A hang-up ends the console and the prompt, and gives the terminal back.
func TestConsoleHungUp(t *testing.T) {
	t.Parallel()
	service := newStand(t, machine("up"))
	tty, cmd := terminal(t, service.socket)
	tty.sees("web> ")
	tty.types("console\r")
	fmt.Fprint(service.guest, "login: ")
	tty.sees("login: ")
	cmd.Process.Signal(unix.SIGHUP)
	tty.left(cmd, fault.MayPass)
}

// A console that is not there is waited for, and the wait can be left.
func TestConsoleWaits(t *testing.T) {
	t.Parallel()
	service := newStand(t, machine("down"))
	tty, _ := terminal(t, service.socket)
	tty.sees("web> ")
	tty.types("console 2\r")
	tty.sees("the guest is down; waiting for it to come up")
	held := func() (n int, held bool) {
		for _, r := range service.acts() {
			if r.Act == request.Console {
				n, held = n+1, r.Wait
			}
		}
		return n, held
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		n, held := held()
		if held {
			break
		}
		if n > 1 || time.Now().After(end) {
			t.Fatalf("asked %d times, and not to wait", n)
		}
	}
	tty.clear()
	tty.types("~.")
	tty.sees("web> ")
	if n, _ := held(); n != 2 {
		t.Errorf("the console was asked for %d times", n)
	}
}

// A boot shows the log, and then the console.
func TestBoot(t *testing.T) {
	t.Parallel()
	service := newStand(t, machine("down"))
	tty, _ := terminal(t, service.socket)
	tty.sees("web> ")
	fmt.Fprint(service.guest, "login: ") // before the log is looked at again
	tty.types("boot\r")
	tty.sees("Linux version 6\r\ninit has started\r\n")
	tty.sees("login: ")
	tty.types("root\r")
	if got := service.reads(5); got != "root\r" {
		t.Errorf("the guest reads %q", got)
	}
	tty.types("~.")
	tty.sees("web> ")
	var acts []string
	for _, r := range service.acts() {
		acts = append(acts, string(r.Act))
	}
	if got := strings.Join(acts, " "); got != "login status log start console" {
		t.Errorf("asked for %s", got)
	}
}

func count(t *testing.T, pid int) int {
	t.Helper()
	all, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}
