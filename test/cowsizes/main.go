// Cowsizes tries the kernel's COW driver on discs of all kinds of sizes, near whose end
// it has been known to go wrong (paper 5.1), and prints what became of each: the table of
// docs/kernels.md. KERNEL=FILE tries another kernel than the installed one.
package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"uml/test/lab"
)

// sizes in bytes: of a bitmap that has one word of 64 bits or less, of several, and of
// one that is no whole number of words, pages, blocks of 1024, sectors.
var sizes = []int64{
	512, 4096, 16 << 10, 32 << 10, // one word
	32<<10 + 512, 36 << 10, 64 << 10,
	1 << 20, 1<<20 + 4096, 1<<20 + 2048, 1<<20 + 1024, 1<<20 + 512, 1<<20 + 100, 1<<20 - 512, 1<<20 - 100,
	8<<20 + 3*512,
}

// limit is when a kernel is given up that says nothing more.
const limit = time.Minute

// script says how far it came. The last sector of a disc is written by itself before the
// whole disc is.
const script = `sectors=$(blockdev --getsz /dev/ubdb); echo sectors $sectors
dd if=/dev/ubdb of=/dev/ubdd bs=64k 2>/dev/null; echo read $?
dd if=/dev/ubdc of=/dev/ubdb bs=512 count=1 conv=notrunc,fsync 2>/dev/null; echo first $?
dd if=/dev/ubdc of=/dev/ubdb bs=512 skip=$((sectors-1)) seek=$((sectors-1)) count=1 conv=notrunc,fsync 2>/dev/null; echo last $?
dd if=/dev/ubdc of=/dev/ubdb bs=64k conv=notrunc,fsync 2>/dev/null; echo all $?
echo 3 >/proc/sys/vm/drop_caches
dd if=/dev/ubdb of=/dev/ubde bs=64k 2>/dev/null; echo again $?`

// restarted reads what the kernel before it wrote.
const restarted = `echo sectors $(blockdev --getsz /dev/ubdb)
dd if=/dev/ubdb of=/dev/ubdd bs=64k 2>/dev/null; echo read $?`

func main() {
	os.Exit(lab.Main(func(t lab.TB) {
		l := lab.New(t)
		results := make([][3]string, len(sizes))
		var all sync.WaitGroup
		slots := make(chan struct{}, 3) // most of the time they wait for one that hangs
		for i, size := range sizes {
			for v := range 3 {
				all.Go(func() {
					slots <- struct{}{}
					defer func() { <-slots }()
					results[i][v] = try(l, v+1, size)
				})
			}
		}
		all.Wait()
		fmt.Printf("%s\n| bytes | version 1 | version 2 | version 3 |\n|---|---|---|---|\n", lab.KernelImage())
		for i, size := range sizes {
			fmt.Printf("| %d | %s |\n", size, strings.Join(results[i][:], " | "))
		}
	}))
}

// A trial is one pair: what it holds at first, and what is written to it. The device has
// as many whole sectors as hold the size.
type trial struct {
	l         *lab.Lab
	dir       string
	old, news []byte
}

func (t *trial) file(name string) string { return filepath.Join(t.dir, name) }

func try(l *lab.Lab, version int, size int64) string {
	dir, err := os.MkdirTemp(l.Dir, "pair")
	if err != nil {
		return err.Error()
	}
	whole := (size + 511) / 512 * 512
	t := &trial{l, dir, pattern(whole, "old"), pattern(whole, "new")}
	clear(t.old[size:]) // what is not in the backing file
	room := make([]byte, whole+4096)
	for name, text := range map[string][]byte{"backing": t.old[:size], "new": t.news, "before": room, "after": room} {
		if err := os.WriteFile(t.file(name), text, 0o644); err != nil {
			return err.Error()
		}
	}
	if err := makeCOW(t.file("cow"), t.file("backing"), version, size); err != nil {
		return err.Error()
	}
	wrong := t.boot(script)
	if len(wrong) == 0 {
		t.old = t.news
		for _, w := range t.boot(restarted) {
			wrong = append(wrong, w+" after a restart")
		}
	}
	if len(wrong) == 0 {
		return "right"
	}
	return strings.Join(wrong, ", ")
}

// boot runs a kernel on the pair, and says what was wrong.
func (t *trial) boot(script string) (wrong []string) {
	r := t.l.Boot(lab.KernelImage(), script, limit, "ubd1="+t.file("cow")+","+t.file("backing"), "ubd2rd="+t.file("new"), "ubd3d="+t.file("before"), "ubd4d="+t.file("after"))
	before, _ := os.ReadFile(t.file("before"))
	after, _ := os.ReadFile(t.file("after"))
	sectors := 0
	for line := range strings.Lines(r.Out) {
		var what string
		var n int
		if got, _ := fmt.Sscanf(line, "%s %d", &what, &n); got != 2 {
			continue
		}
		switch {
		case what == "sectors":
			sectors = n
		case n != 0 && slices.Contains(steps, what):
			wrong = append(wrong, what+" fails")
		case what == "read":
			wrong = append(wrong, compare("reads", before, t.old)...)
		case what == "again":
			wrong = append(wrong, compare("reads, once written,", after, t.news)...)
		}
	}
	switch {
	case sectors == 0 && r.Code == 0:
		return []string{"no such device"}
	case sectors != len(t.news)/512 && sectors != 0:
		wrong = append(wrong, fmt.Sprintf("has %d sectors", sectors))
	}
	switch {
	case r.Code == 137 || r.Code == -1: // ended by us
		wrong = append(wrong, "hangs after "+lastStep(r.Out))
	case r.Code != 0:
		wrong = append(wrong, fmt.Sprintf("crashes (%d) after %s", r.Code, lastStep(r.Out)))
	}
	return wrong
}

func compare(when string, got, want []byte) []string {
	n, first := 0, 0
	for at := 0; at < len(want); at += 512 {
		if !bytes.Equal(got[at:][:512], want[at:][:512]) {
			if n == 0 {
				first = at / 512
			}
			n++
		}
	}
	if n == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%s %d of %d sectors wrong from %d on", when, n, len(want)/512, first)}
}

var steps = []string{"sectors", "read", "first", "last", "all", "again"}

// lastStep is the last that the guest said of its own accord.
func lastStep(out string) (step string) {
	for line := range strings.Lines(out) {
		for _, s := range steps {
			if strings.HasPrefix(line, s+" ") {
				step = s
			}
		}
	}
	return step
}

func pattern(size int64, what string) []byte {
	b := make([]byte, size)
	for at := int64(0); at < size; at += 512 {
		copy(b[at:], fmt.Sprintf("%s %d", what, at/512))
	}
	return b
}
