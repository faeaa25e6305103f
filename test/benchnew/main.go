// Command benchnew measures how a machine is made of a template and boots to its log-in
// prompt: by uml-machine, and by the same steps in a hand-written shell script (cp, mount
// -o loop, sed, umount), which mounts what a guest could have prepared, and so is run in a
// lab alone. The lab lies on a filesystem of its own, on a loop device, whose writes are
// counted: all that has come to the disc when sync(1) has ended.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"uml/test/lab"
)

const inner = "UML_BENCH_DISC" // set: the loop device below the temporary directory

func main() {
	n := flag.Int("n", 5, "machines of each kind")
	flag.Parse()
	if device := os.Getenv(inner); device != "" {
		os.Exit(lab.Main(func(t lab.TB) { measure(t, *n, device) }))
	}
	os.Exit(onDisc())
}

// onDisc runs this program again with its temporary directory on a disc of its own, in a
// mount namespace of its own.
func onDisc() int {
	dir, err := os.MkdirTemp("", "benchnew")
	if err != nil {
		return fatal(err)
	}
	defer os.RemoveAll(dir)
	script := `cd "$0"; truncate -s 12G disc; mkfs.ext4 -q -E lazy_itable_init=0,lazy_journal_init=0 disc; mkdir at
		device=$(losetup --find --show disc); trap 'umount at; losetup -d $device' EXIT; mount $device at; chmod 1777 at
		TMPDIR=$0/at ` + inner + `=$(basename $device) "$@"`
	cmd := exec.Command("bash", append([]string{"-ec", script, dir}, os.Args...)...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS}
	if err := cmd.Run(); err != nil {
		return fatal(err)
	}
	return 0
}

func fatal(err error) int {
	fmt.Fprintln(os.Stderr, "bench-new:", err)
	return 1
}

// byHand is the script: NAME ADDRESS TEMPLATE KEY.
const byHand = `set -e
name=$1 ip=$2 template=$3 key=$4 m=$UML_MACHINES/$1
useradd --system --user-group --no-create-home --home-dir $m --shell /usr/sbin/nologin $name
mkdir -p $m/settings $m/jail
ln -s $(command -v uml-run) $m/run
cp --sparse=always $template $m/jail/ubd0
chmod 600 $m/jail/ubd0
d=$(mktemp -d)
mount -o loop $m/jail/ubd0 $d
echo '/dev/ubda / ext4 defaults 0 1' >$d/etc/fstab
echo $name >$d/etc/hostname
printf '127.0.0.1 localhost\n%s %s\n' $ip $name >$d/etc/hosts
printf 'auto lo vec0\niface lo inet loopback\niface vec0 inet static\n address %s/32\n post-up ip route add 192.0.2.10 dev vec0; ip route add default via 192.0.2.10\n' $ip >$d/etc/network/interfaces
echo 'nameserver 192.0.2.1' >$d/etc/resolv.conf
rm -f $d/etc/ssh/ssh_host_* $d/root/.bash_history
find $d/var/log -type f -delete
for k in ed25519 ecdsa rsa; do ssh-keygen -q -t $k -N '' -C root@$name -f $d/etc/ssh/ssh_host_${k}_key; done
cat /proc/sys/kernel/random/uuid | tr -d - >$d/etc/machine-id
sed -i 's,^root:[^:]*:,root:*:,' $d/etc/shadow
mkdir -p -m 700 $d/root/.ssh; cp $key $d/root/.ssh/authorized_keys; chmod 600 $d/root/.ssh/authorized_keys
umount $d; rmdir $d
chown $name: $m/jail $m/jail/ubd0
echo 128M >$m/settings/mem; echo $ip >$m/settings/ip4; echo $UML_KERNELS/debian/linux >$m/settings/kernel
sync -f $m
`

// A way makes a machine of the template.
type way struct {
	name    string
	command func(name, ip string) []string
}

func measure(t lab.TB, n int, device string) {
	l := lab.New(t)
	l.OwnEtc()
	key := l.Key() + ".pub"
	l.Must("sh", "-ec", `mknod -m 660 /dev/loop-control c 10 237; for i in $(seq 0 63); do mknod -m 660 /dev/loop$i b 7 $i; done`)
	l.Must("uml-kernel", "add", "user-mode-linux", "debian")
	if r := l.Online("uml-template", "-q", "build", "bookworm", "debian:bookworm"); r.Code != 0 {
		t.Fatalf("bench-new: %s%s", r.Out, r.Err)
	}
	image := strings.TrimSpace(l.Must("sh", "-c", "echo "+lab.Templates+"/*.img"))
	script := filepath.Join(l.Dir, "byhand")
	if err := os.WriteFile(script, []byte(byHand), 0o755); err != nil {
		t.Fatalf("bench-new: %v", err)
	}
	ours := func(flags ...string) func(name, ip string) []string {
		return func(name, ip string) []string {
			return append([]string{"uml-machine", "-q", "new", name, "--template", "bookworm", "--mem", "128M", "--ip4", ip, "--key", key}, flags...)
		}
	}
	ways := []way{
		{"shell script, a copy", func(name, ip string) []string { return []string{"sh", script, name, ip, image, key} }},
		{"uml-machine, a copy", ours()},
		{"uml-machine, COW", ours("--cow")},
	}
	got := map[string][][4]float64{}
	for i := range n {
		for j, w := range ways {
			got[w.name] = append(got[w.name], turn(l, w, fmt.Sprintf("m%d%c", i, 'a'+j), fmt.Sprintf("192.0.2.%d", 20+3*i+j), device))
		}
	}
	fmt.Printf("Of a template of Debian 12 (144 packages), median of %d in turns (range), and the ratio to the script\n", n)
	fmt.Printf("%-22s %-28s %-28s %-28s %s\n", "", "made, s", "MB written for it", "boot to the prompt, s", "MB written by it")
	var first [4]float64
	for i, w := range ways {
		fmt.Printf("%-22s", w.name)
		for k := range 4 {
			var v []float64
			for _, g := range got[w.name] {
				v = append(v, g[k])
			}
			slices.Sort(v)
			middle := v[len(v)/2]
			if i == 0 {
				first[k] = middle
			}
			fmt.Printf(" %-28s", fmt.Sprintf("%.2f (%.2f-%.2f) %.2f", middle, v[0], v[len(v)-1], middle/first[k]))
		}
		fmt.Println()
	}
}

// turn makes a machine, boots it, and ends it. Nothing of the template is cached before,
// as little as on a host that has not used it today.
func turn(l *lab.Lab, w way, name, ip, device string) (v [4]float64) {
	l.Must("sh", "-c", "sync; echo 3 >/proc/sys/vm/drop_caches || :")
	before, begun := written(device), time.Now()
	l.Must(w.command(name, ip)...)
	v[0] = time.Since(begun).Seconds()
	l.Must("sync")
	v[1] = written(device) - before
	m := l.Machined(name)
	before, begun = written(device), time.Now()
	m.Activate()
	l.Wait("the prompt of "+name, func() bool { return strings.Contains(console(l, name), "login:") })
	v[2] = time.Since(begun).Seconds()
	l.Must("uml-ctl", "stop", name)
	l.Must("sync")
	v[3] = written(device) - before
	return v
}

// console is what the guest's first terminal shows; the return asks for another prompt.
func console(l *lab.Lab, name string) string {
	return l.Run("sh", "-c", "(echo; sleep 0.3) | timeout 1 uml-ctl console "+name).Out
}

// written is what a device has written, MB.
func written(device string) float64 {
	text, err := os.ReadFile("/sys/block/" + device + "/stat")
	if err != nil {
		os.Exit(fatal(err))
	}
	sectors, _ := strconv.ParseFloat(strings.Fields(string(text))[6], 64)
	return sectors * 512 / 1e6
}
