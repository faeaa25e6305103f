package lab

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Root gives the lab a root directory in which all is where the documentation has it:
// /machines, /service, /srv, /var/lib and /root are empty and its own, so is /etc, eth0 is
// its interface, and the programs are in /usr/local/sbin. Of the machine's files there is
// nothing but /usr, which nobody can write. Source is the repository.
func (l *Lab) Root(source string) {
	l.t.Helper()
	l.OwnEtc()
	l.Must("sh", "-ec", `
		root=$1 dir=$2 bin=$3 source=$4
		mkdir -p "$root" && mount --bind "$root" "$root" && cd "$root"
		for d in bin sbin lib lib32 lib64 libx32; do
			[ ! -L /$d ] || cp -a /$d .
			[ -L /$d ] || [ ! -d /$d ] || { mkdir $d; mount --bind -o ro /$d $d; }
		done
		mkdir -p usr etc dev proc sys run tmp mnt srv home var/tmp var/log var/cache var/lib/dpkg root/uml/docs root/uml/examples ".$dir"
		chmod 1777 tmp var/tmp; ln -s /run var/run
		mount --rbind /usr usr
		mount --bind "$bin" usr/local/sbin; mount --bind "$bin" usr/local/bin
		mount --bind /var/lib/dpkg var/lib/dpkg
		for d in docs examples; do mount --bind "$source/$d" root/uml/$d; done
		for d in usr usr/local/sbin usr/local/bin var/lib/dpkg root/uml/docs root/uml/examples; do mount -o remount,bind,ro $d; done
		for d in etc dev proc sys run; do mount --rbind /$d $d; done
		mount --bind "$dir" ".$dir"
		pivot_root . mnt
		mount --make-rprivate / # ip shares /run/netns: else the other host would go too
		umount -l /mnt
		ip link set ext0 down; ip link set ext0 name eth0; ip link set eth0 up
		ip addr replace `+HostIP6+`/64 dev eth0 nodad; ip route add default via `+OtherIP4,
		"sh", filepath.Join(l.Dir, "root"), l.Dir, l.Bin, source)
}

// A Session is a shell of root's on the host: what it is told goes on from what it was told before.
type Session struct {
	l     *Lab
	dir   string
	input io.Writer
	count int
}

// Session starts one, in dir, without any setting of the lab's.
func (l *Lab) Session(dir string) *Session {
	l.t.Helper()
	s := &Session{l: l, dir: filepath.Join(l.Dir, "session")}
	if err := os.Mkdir(s.dir, 0o755); err != nil {
		l.t.Fatalf("lab: %v", err)
	}
	bash := l.Cmd(l.t.Context(), dir, "env", "-i", "HOME=/root", "TERM=dumb", "LANG=C.UTF-8",
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "bash", "--noprofile", "--norc")
	input, err := bash.StdinPipe()
	if err == nil {
		err = bash.Start()
	}
	if err != nil {
		l.t.Fatalf("lab: %v", err)
	}
	l.t.Cleanup(func() { input.Close(); bash.Wait() })
	s.input = input
	return s
}

// Do has it run a command, as if what is in input were typed, and returns how that ended and all
// that it said, in Out. It is over when the command is; what that leaves behind goes on.
func (s *Session) Do(command, input string) Result {
	s.l.t.Helper()
	s.count++
	name := fmt.Sprintf("%s/%d", s.dir, s.count)
	for suffix, text := range map[string]string{".sh": command + "\n", ".in": input} {
		if err := os.WriteFile(name+suffix, []byte(text), 0o644); err != nil {
			s.l.t.Fatalf("lab: %v", err)
		}
	}
	fmt.Fprintf(s.input, ". %[1]s.sh >%[1]s.out 2>&1 <%[1]s.in; echo $? >%[1]s.new; mv %[1]s.new %[1]s.code\n", name)
	ctx, cancel := context.WithTimeout(s.l.t.Context(), Patience)
	defer cancel()
	var r Result
	for {
		out, _ := os.ReadFile(name + ".out")
		r.Out = strings.ReplaceAll(string(out), "\r", "")
		if code, err := os.ReadFile(name + ".code"); err == nil {
			fmt.Sscan(string(code), &r.Code)
			return r
		}
		select {
		case <-ctx.Done():
			s.l.t.Fatalf("%s: does not end\n%s", command, r.Out)
		case <-time.After(10 * time.Millisecond):
		}
	}
}
