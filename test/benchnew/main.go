// Command benchnew measures machines made of a template: by uml-machine new as a COW file and as a
// copy, and by the same steps in a shell, with a loop mount, in turns and in one run. Each has the
// time until it is made, the bytes that the host's disc was written, and the time from its start
// until its sshd answers on the network. The machines root is a filesystem of its own, so that
// nobody else's writes are counted.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"uml/test/lab"
)

func main() {
	n := flag.Int("n", 5, "machines of each kind")
	template := flag.String("template", "", "image of the template, not below /tmp (default: busybox and sshd)")
	flag.Parse()
	os.Exit(lab.Main(func(t lab.TB) { measure(t, *n, *template) }))
}

// byHand is what a guide would have one type, in the words of docs/guide.md.
const byHand = `name=$1 template=$2 address=$3 key=$4 d=$UML_MACHINES/$1
useradd --system --user-group --shell /usr/sbin/nologin $name
mkdir -p $d/settings; install -d -o $name -g $name $d/jail; ln -s $BIN/uml-run $d/run
echo /usr/bin/linux.uml >$d/settings/kernel; echo $address >$d/settings/ip4; echo 128M >$d/settings/mem
cp --sparse=always $template $d/jail/ubd0
mkdir -p /run/mnt; mount -o loop $d/jail/ubd0 /run/mnt; cd /run/mnt
echo $name >etc/hostname; printf '127.0.0.1 localhost\n%s %s\n' $address $name >etc/hosts
echo '/dev/ubda / ext4 defaults 0 1' >etc/fstab
for k in ed25519 ecdsa rsa; do rm -f etc/ssh/ssh_host_${k}_key*; ssh-keygen -q -t $k -N '' -f etc/ssh/ssh_host_${k}_key; done
mkdir -p etc/network; printf 'auto lo\niface lo inet loopback\nauto vec0\niface vec0 inet static\n\taddress %s/32\n\tup ip route add default dev vec0\n' $address >etc/network/interfaces
if [ ! -e usr/lib/systemd/systemd ] && [ ! -e lib/systemd/systemd ]; then
	printf '#!/bin/sh\nip link set vec0 up\nip addr add %s/32 dev vec0\nip route add default dev vec0\n' $address >etc/net; chmod 755 etc/net; echo '::wait:/etc/net' >>etc/inittab
fi
rm -rf var/log/* root/.bash_history; mkdir -p root/.ssh; cp $key root/.ssh/authorized_keys
tr -d - </proc/sys/kernel/random/uuid >etc/machine-id
sed -i 's/^root:[^:]*/root:*/; s/PermitRootLogin no/PermitRootLogin yes/' etc/shadow etc/ssh/sshd_config
cd /; umount /run/mnt; chown $name: $d/jail/ubd0; chmod 600 $d/jail/ubd0; sync -f $d`

type figures struct{ made, written, up []float64 }

func measure(t lab.TB, n int, template string) {
	l := lab.New(t)
	l.OwnEtc()
	if template == "" {
		template = l.Template("small", nil)
	}
	loop := strings.TrimSpace(l.Must("sh", "-ec", `mknod /dev/loop-control c 10 237; for i in $(seq 0 31); do mknod /dev/loop$i b 7 $i; done
		truncate -s 8G $0/disc; mkfs.ext4 -q -E lazy_itable_init=0,lazy_journal_init=0 $0/disc; d=$(losetup -f --show $0/disc); mount $d $UML_MACHINES; echo $d`, l.Dir))
	defer l.Must("sh", "-c", "umount $UML_MACHINES; losetup -d $0", loop)
	l.Must("uml-machine", "-q", "new", "warm", "--template", template)
	kinds := []string{"uml-machine new --cow", "uml-machine new", "by hand"}
	all := map[string]*figures{}
	number := 30
	for range n {
		for i, kind := range kinds {
			number++
			name, address := fmt.Sprintf("m%d", number), fmt.Sprintf("192.0.2.%d", number)
			args := []string{"uml-machine", "-q", "new", name, "--template", template, "--ip4", address, "--mem", "128M", "--key", l.Key() + ".pub"}
			switch i {
			case 0:
				args = append(args, "--cow")
			case 2:
				args = []string{"env", "BIN=" + l.Bin, "sh", "-ec", byHand, "sh", name, template, address, l.Key() + ".pub"}
			}
			f := all[kind]
			if f == nil {
				f = &figures{}
				all[kind] = f
			}
			before, begun := written(l, loop), time.Now()
			l.Must(args...)
			f.made = append(f.made, time.Since(begun).Seconds())
			f.written = append(f.written, written(l, loop)-before)
			m := l.Machined(name)
			begun = time.Now()
			m.Activate()
			l.Wait("sshd of "+name, func() bool {
				return strings.HasPrefix(l.Other("busybox", "timeout", "2", "busybox", "nc", address, "22").Out, "SSH-")
			})
			f.up = append(f.up, time.Since(begun).Seconds())
			l.Must("uml-ctl", "deactivate", name)
		}
	}
	fmt.Printf("%-22s %-20s %-20s %s\n", "", "made, s", "written, MiB", "until sshd answers, s")
	for _, kind := range kinds {
		f := all[kind]
		fmt.Printf("%-22s %-20s %-20s %s\n", kind, spread(f.made), spread(f.written), spread(f.up))
	}
}

// written is what the device has been written since it is there, in MiB.
func written(l *lab.Lab, loop string) float64 {
	sectors, _ := strconv.ParseFloat(strings.TrimSpace(l.Must("sh", "-c", `sync -f "$UML_MACHINES"; awk '{print $7}' /sys/block/$0/stat`, filepath.Base(loop))), 64)
	return sectors * 512 / (1 << 20)
}

// spread is median, least and most.
func spread(all []float64) string {
	slices.Sort(all)
	return fmt.Sprintf("%.2f (%.2f-%.2f)", all[len(all)/2], all[0], all[len(all)-1])
}
