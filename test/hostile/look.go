package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// look prints all that this process has, a line each, and writes into every file
// that it can: what it should not have then shows outside.
func look([]string) error {
	fmt.Printf("begin\nid %d %d %v\n", os.Getuid(), os.Getgid(), groups())
	fmt.Println(capabilities())
	cwd, err := os.Getwd()
	fmt.Println("cwd", cwd, err)
	var limit unix.Rlimit
	if err := unix.Prlimit(0, unix.RLIMIT_NOFILE, nil, &limit); err != nil {
		return err
	}
	fmt.Println("nofile", limit.Max)
	held := 0
	for fd := range 1024 {
		var st unix.Stat_t
		if unix.Fstat(fd, &st) == nil && !ours(fd) {
			held++
			fmt.Printf("fd %d %s\n", fd, identity(&st))
		}
	}
	err = filepath.WalkDir("/", func(path string, d fs.DirEntry, err error) error {
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return nil
		}
		fmt.Printf("file %s %s %o\n", path, identity(&st), st.Mode)
		if d != nil && d.IsDir() {
			os.WriteFile(path+"/hostile", []byte("hostile"), 0o666)
			return nil
		}
		if f, err := os.OpenFile(path, os.O_WRONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0); err == nil && d.Type().IsRegular() {
			f.WriteAt([]byte("hostile"), 9) // a kernel that was a disc at that moment stays one: elf(5), EI_PAD
			f.Close()
		}
		return nil
	})
	fmt.Println("descriptors", held)
	fmt.Println("end")
	return err
}

// ours are the Go runtime's own descriptors, for its poller.
func ours(fd int) bool {
	if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		return false
	}
	return fd > 2
}

func identity(st *unix.Stat_t) string { return fmt.Sprintf("%d:%d", st.Dev, st.Ino) }

func groups() string {
	g, err := os.Getgroups()
	return strings.Join(append([]string{strconv.Itoa(len(g))}, errorText(err)...), " ")
}

func errorText(err error) []string {
	if err == nil {
		return nil
	}
	return []string{err.Error()}
}

func capabilities() string {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var c [2]unix.CapUserData
	err := unix.Capget(&header, &c[0])
	bounding, ambient := 0, 0
	for n := range 64 {
		if in, _ := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(n), 0, 0, 0); in > 0 {
			bounding++
		}
		if in, _ := unix.PrctlRetInt(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_IS_SET, uintptr(n), 0, 0); in > 0 {
			ambient++
		}
	}
	return fmt.Sprintf("capabilities %x %x %x %d %d %v", c[0].Inheritable|c[1].Inheritable, c[0].Permitted|c[1].Permitted,
		c[0].Effective|c[1].Effective, bounding, ambient, errors.Join(err))
}
