package runscript

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const speaks = "RUNSCRIPT_TEST_SPEAKS"

// A start whose log is full and not read hangs in its next line. TERM ends it.
func TestStoppedThoughNobodyReads(t *testing.T) {
	if os.Getenv(speaks) != "" {
		signals := catch(context.Background())
		defer signals.stop()
		fmt.Println("caught")
		for {
			fmt.Fprintln(os.Stderr, "a line")
		}
	}
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestStoppedThoughNobodyReads$")
	cmd.Env = append(os.Environ(), speaks+"=1")
	cmd.Stderr = writer
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	writer.Close()
	if _, err := out.Read(make([]byte, 7)); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	if err := cmd.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		exit := (*exec.ExitError)(nil)
		if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != unix.SIGTERM {
			t.Errorf("got %v, want ended by TERM", err)
		}
	case <-time.After(30 * time.Second):
		t.Error("it goes on")
		cmd.Process.Kill()
		<-ended
	}
}
