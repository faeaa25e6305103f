package trial

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"uml/appliance"
	"uml/fault"
)

// The guest is started by another process of this program, which ends it when we are gone,
// however we went: a guest's kernel itself is told nothing of its parent's death, which the
// change of its user makes the host forget, and takes no HUP; and one of the machine's user
// would keep the machine down.
const watcher = "uml-kernel-trial"

// Whoever is executed by that name is it.
func init() {
	if os.Args[0] == watcher {
		os.Exit(watch(os.Args[1], os.Args[2]))
	}
}

// watch runs uml-run in the trial's machine directory, tells its process by descriptor 3, and
// returns its exit status, which of a signal is 128 and that.
func watch(program, host string) int {
	end := make(chan os.Signal, 1)
	signal.Notify(end, unix.SIGTERM, unix.SIGINT, unix.SIGHUP)
	unix.CloseOnExec(3)
	cmd := exec.Command(program, "--host-settings", host)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		fmt.Fprintf(os.Stderr, "uml-run: fatal: start it: %v\n", err)
		return fault.MustMend
	}
	tell := os.NewFile(3, "pid")
	fmt.Fprintln(tell, cmd.Process.Pid)
	tell.Close()
	ended := make(chan error, 1)
	go func() {
		appliance.EndChildren(cmd.Process.Pid)
		ended <- cmd.Wait()
	}()
	select {
	case err := <-ended:
		return exitStatus(err)
	case <-end:
	}
	cmd.Process.Signal(unix.SIGTERM)
	kill := time.AfterFunc(patience, func() { cmd.Process.Kill() })
	defer kill.Stop()
	return exitStatus(<-ended)
}

// patience is how long a kernel has to end.
const patience = 5 * time.Second

func exitStatus(err error) int {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return 0
	}
	if status := exit.Sys().(syscall.WaitStatus); status.Signaled() {
		return 128 + int(status.Signal())
	}
	return exit.ExitCode()
}

// launch starts it. The calling thread's namespaces are its own.
func (g *guest) launch() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	silent, input, err1 := os.Pipe()
	hear, tell, err2 := os.Pipe()
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	g.input = input
	defer silent.Close()
	defer hear.Close()
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{watcher, filepath.Join(filepath.Dir(self), "uml-run"), filepath.Join(g.outer, hostName)}
	cmd.Dir, cmd.Env = g.at, []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = silent, g.log.way(), g.log.way()
	cmd.ExtraFiles = []*os.File{tell}
	// Ctrl-C is ours to pass on. The thread that starts it lives as long as the trial.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: unix.SIGTERM}
	cmd.WaitDelay = time.Second
	g.since = time.Now()
	err = cmd.Start()
	tell.Close()
	if err != nil {
		return fmt.Errorf("start %s: %w", watcher, err)
	}
	g.process = cmd.Process
	go func() { g.ended <- cmd.Wait() }()
	text := make([]byte, 20)
	n, _ := hear.Read(text)
	g.pid, _ = strconv.Atoi(strings.TrimSpace(string(text[:n]))) // 0 if it could not start it, which is in the log
	return nil
}
