package lab

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// KernelImage is what guests of a lab run: Debian's, or KERNEL of the environment, for
// who tries another.
func KernelImage() string {
	if k := os.Getenv("KERNEL"); k != "" {
		return k
	}
	return kernelImage
}

// beginning is behind what the kernel itself says.
const beginning = "--- begin ---"

// Boot runs a kernel without a machine, as root and in no jail, for what is to be found
// out about the kernel itself. Its only process is a shell that runs script, from which
// /dev/ubdb and so on are the discs of args; it is ended when it takes longer than limit.
// The exit status is 0 when the script came to its end.
func (l *Lab) Boot(kernel, script string, limit time.Duration, args ...string) Result {
	l.t.Helper()
	dir, err := os.MkdirTemp(l.Dir, "boot")
	if err != nil {
		l.t.Fatalf("lab: %v", err)
	}
	orders := "mount -t proc proc /proc\necho " + beginning + "\n" + script + "\nsync; poweroff -f\n"
	orders += strings.Repeat("\n", 4096-len(orders)%4096)
	root, text := filepath.Join(dir, "root"), filepath.Join(dir, "orders")
	if err := l.makeImage(root, nil); err != nil {
		l.t.Fatalf("lab: %v", err)
	}
	if err := os.WriteFile(text, []byte(orders), 0o644); err != nil {
		l.t.Fatalf("lab: %v", err)
	}
	args = append([]string{"setsid", "--wait", "env", "TMPDIR=/dev/shm", kernel, "mem=64M", "umid=" + filepath.Base(dir), "uml_dir=" + dir + "/",
		"ubd0rd=" + root, "root=/dev/ubda", "ubd7rd=" + text, "con=null", "con0=null,fd:1", "ssl=null", "noreboot", "quiet", "panic=-1"}, args...)
	args = append(args, "init=/bin/sh", "--", "-c", `"mount -t devtmpfs dev /dev 2>/dev/null; . /dev/ubdh"`)
	ctx, cancel := context.WithTimeout(l.t.Context(), limit)
	defer cancel()
	r := l.finish(l.Cmd(ctx, dir, args...))
	r.Out = strings.ReplaceAll(r.Out, "\r", "")
	if _, said, ok := strings.Cut(r.Out, beginning+"\n"); ok {
		r.Out = said
	}
	return r
}
