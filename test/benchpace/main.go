package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"uml/test/lab"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "follow" {
		pid, _ := strconv.Atoi(os.Args[2])
		uid, _ := strconv.Atoi(os.Args[3])
		follow(pid, uid, os.Args[4], os.Args[5], os.Args[6])
		return
	}
	os.Exit(lab.Main(func(t lab.TB) { signs(t) }))
}

func signs(t lab.TB) {
	l := lab.New(t)
	l.OwnEtc()
	self, _ := os.Executable()
	m := l.Machine("busy", lab.Settings{"ip4": "192.0.2.30"})
	m.Activate()
	l.Wait("kernel", func() bool { return m.PID() > 0 })
	fmt.Println(l.Must(self, "follow", fmt.Sprint(m.PID()), fmt.Sprint(m.UID), m.Name, "tap_busy", "192.0.2.30"))
	l.Must("sh", "-ec", `mknod -m 660 /dev/loop-control c 10 237; for i in $(seq 0 63); do mknod -m 660 /dev/loop$i b 7 $i; done`)
	key := l.Key() + ".pub"
	l.Must("uml-kernel", "add", "user-mode-linux", "debian")
	if r := l.Online("uml-template", "-q", "build", "bookworm", "debian:bookworm"); r.Code != 0 {
		t.Fatalf("%s%s", r.Out, r.Err)
	}
	image := strings.TrimSpace(l.Must("sh", "-c", "echo "+lab.Templates+"/*"))
	fmt.Println(image)
	l.Must("sh", "-c", "cp --sparse=always "+lab.Templates+"/* /work/tmp-pace/")
	for i := range 2 {
		name := fmt.Sprintf("d%d", i)
		l.Must("uml-machine", "-q", "new", name, "--template", "bookworm", "--mem", "128M", "--ip4", fmt.Sprintf("192.0.2.4%d", i), "--key", key, "--cow")
		d := l.Machined(name)
		d.Activate()
		l.Wait("kernel", func() bool { return d.PID() > 0 })
		fmt.Println(l.Must(self, "follow", fmt.Sprint(d.PID()), fmt.Sprint(d.UID), d.Name, "tap_"+d.Name, fmt.Sprintf("192.0.2.4%d", i)))
	}
}
