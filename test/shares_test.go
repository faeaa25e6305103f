package test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"uml/test/lab"
)

// A host of version 2, which is a guest: what starts there is in a group of its own, set as
// its settings say, and gets no more than its share, however many processes it has.
func TestShares(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := l.Machine("guest", lab.Settings{"ip4": address, "mem": "192M", "ubd1": "ubd1"})
	tree := filepath.Join(l.Dir, "host")
	l.Must("sh", "-ec", fmt.Sprintf(`
		mkdir -p %[1]s/machines %[1]s/bin
		cp %[2]s/uml-jail %[2]s/uml-machine %[2]s/uml-check %[1]s/bin
		ldd /usr/bin/linux.uml | sed -n 's/.*=> \(.*\) (.*/\1/p; s/^\t\(\/.*\) (.*/\1/p' | while read f; do mkdir -p %[1]s/$(dirname $f); cp -L $f %[1]s/$f; done
		cp /usr/bin/linux.uml %[1]s/kernel
		for n in one many small; do
			mkdir -p %[1]s/machines/$n/settings %[1]s/machines/$n/jail
			truncate -s 64K %[1]s/machines/$n/jail/ubd0
			echo none >%[1]s/machines/$n/settings/net
			echo /root/kernel >%[1]s/machines/$n/settings/kernel
			echo require >%[1]s/machines/$n/settings/cgroup
		done
		printf 'weight 200\nlimit 0.5\n' >%[1]s/machines/small/settings/cpu
		printf 'write 20M\nreads 7\n' >%[1]s/machines/small/settings/io
		echo 16M >%[1]s/machines/small/settings/overhead
		echo 16M >%[1]s/machines/small/settings/mem
		echo 64 >%[1]s/machines/small/settings/pids
		truncate -s 64M %[3]s/ubd1
		mkfs.ext4 -q -F -b 4096 -E root_owner=0:0 -d %[1]s %[3]s/ubd1
		chown guest: %[3]s/ubd1`, tree, l.Bin, m.Jail))
	m.Activate()
	m.WaitUp(0)
	said := m.Guest(`
		for n in one:1001 many:1002 small:1003; do echo ${n%:*}:x:${n#*:}:${n#*:}::/:/bin/sh >>/etc/passwd; done
		mount /dev/ubdb /root && cd /root || exit
		mkdir -p /lib /lib64
		cp -r lib/* /lib; cp -r lib64/* /lib64
		for n in one many small; do chown -R $n machines/$n/jail; done
		mount -t cgroup2 groups /sys/fs/cgroup
		G=/sys/fs/cgroup/uml
		bin/uml-jail --machines machines one -- /bin/busybox sh -c 'while :; do :; done' &
		bin/uml-jail --machines machines many -- /bin/busybox sh -c 'for i in 1 2 3 4; do while :; do :; done & done; wait' &
		until [ "$(cat $G/uml-many/pids.current 2>/dev/null || echo 0)" -ge 5 ] && grep -q . $G/uml-one/cgroup.procs; do sleep 0.1; done
		used() { sed -n 's/usage_usec //p' $G/uml-$1/cpu.stat; }
		one=$(used one) many=$(used many)
		until [ $(($(used one) + $(used many) - one - many)) -gt 6000000 ]; do sleep 0.2; done
		echo USED $(($(used one) - one)) $(($(used many) - many))
		for n in one many; do kill -9 $(cat $G/uml-$n/cgroup.procs); done
		bin/uml-jail --machines machines small -- /bin/busybox sh -c 'i=0; while [ $i -lt 90 ]; do /busybox sleep 100 & i=$((i+1)); done' >/root/said 2>&1 </dev/null
		tail -n 1 /root/said
		kill -9 $(cat $G/uml-small/cgroup.procs)
		until grep -q "populated 0" $G/uml-small/cgroup.events; do sleep 0.2; done
		bin/uml-jail --machines machines small -- /bin/busybox sh -c '/busybox sleep 9 & x=xxxxxxxx; while :; do x=$x$x; done'
		echo ENDED $?
		cd $G/uml-small; grep . cpu.weight cpu.max io.max memory.max memory.oom.group pids.max; grep oom_group_kill memory.events
		cd /root; rm -r machines/small
		bin/uml-machine --machines machines gc; ls $G`)
	t.Log(said)
	var one, many int
	_, used, _ := strings.Cut(said, "USED ")
	if _, err := fmt.Sscan(used, &one, &many); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	// Without groups it would be 4 tenths. A guest's kernel counts in ticks of 10 ms.
	if share := (one + many) / 2; one < share*7/10 {
		t.Errorf("one process has %d microseconds of the processor, and four of another guest %d", one, many)
	}
	for _, want := range []string{
		"can't fork", "ENDED 137\n", "cpu.weight:200\n", "cpu.max:50000 100000\n", "rbps=max wbps=20971520 riops=7 wiops=max\n",
		"memory.max:33554432\n", "memory.oom.group:1\n", "pids.max:64\n", "oom_group_kill 1\n", "remove /sys/fs/cgroup/uml/uml-small\n",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("nothing said %q", want)
		}
	}
	if _, left, _ := strings.Cut(said, "remove /sys/fs/cgroup/uml/uml-small\n"); strings.Contains(left, "uml-small") || !strings.Contains(left, "uml-one") {
		t.Errorf("after gc there are\n%s", left)
	}
}
