package test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"uml/cow"
	"uml/test/lab"
)

// The driver of most kernels reads a COW pair wrongly behind a page that is partly in
// the COW file (docs/kernels.md). This says whether the kernel does: the installed one,
// or KERNEL=FILE. Only what is neither right nor that fault is a failure.
func TestCOWFault(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	file := func(name string) string { return filepath.Join(l.Dir, name) }
	const sector, at, written, page = 512, 1000, 3, 8 // at is a page's begin
	const from, few = at - page, 16 * page
	// An odd size has the guest write single sectors.
	backing, news := make([]byte, 8<<20+3*sector), make([]byte, written*sector)
	fillNumbered(backing, "of the backing file")
	fillNumbered(news, "written")
	right := bytes.Clone(backing)
	copy(right[at*sector:], news)
	for name, text := range map[string][]byte{"backing": backing, "news": news, "whole": make([]byte, len(backing)), "paged": make([]byte, few*sector)} {
		if err := os.WriteFile(file(name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	l.Must("uml_mkcow", file("cow"), file("backing"))

	// The whole disc in large reads, then some sectors page by page.
	r := l.Boot(lab.KernelImage(), fmt.Sprintf(`uname -r
		dd if=/dev/ubdc of=/dev/ubdb bs=512 seek=%d count=%d conv=fsync 2>/dev/null || echo not written
		echo 3 >/proc/sys/vm/drop_caches
		dd if=/dev/ubdb of=/dev/ubdd bs=64k 2>/dev/null || echo not read
		blockdev --setra 0 /dev/ubdb; echo 3 >/proc/sys/vm/drop_caches
		dd if=/dev/ubdb of=/dev/ubde bs=512 skip=%d count=%d 2>/dev/null || echo not read by pages`, at, written, from, few),
		lab.Patience, "ubd1="+file("cow")+","+file("backing"), "ubd2rd="+file("news"), "ubd3d="+file("whole"), "ubd4d="+file("paged"))
	var release, rest string
	if n, _ := fmt.Sscanf(r.Out, "%s\n%s", &release, &rest); n < 1 || r.Code != 0 || rest == "not" {
		t.Fatalf("exit %d, said\n%s%s", r.Code, r.Out, r.Err)
	}
	if got := pair(t, file("cow"), file("backing")); !bytes.Equal(got, right) {
		t.Errorf("%s wrote the pair wrongly: this is not the fault that is known", release)
	}
	paged, _ := os.ReadFile(file("paged"))
	if !bytes.Equal(paged, right[from*sector:][:few*sector]) {
		t.Errorf("%s reads single pages wrongly: this is not the fault that is known", release)
	}
	whole, _ := os.ReadFile(file("whole"))
	var wrong []int
	for i := range len(right) / sector {
		got := whole[i*sector:][:sector]
		if bytes.Equal(got, right[i*sector:][:sector]) {
			continue
		}
		// The driver has gone on by the page's last run, not by the page.
		if i < at+page || !bytes.Equal(got, backing[(i-written)*sector:][:sector]) {
			t.Fatalf("%s reads sector %d as %.40q: neither rightly nor as the known fault does", release, i, got)
		}
		wrong = append(wrong, i)
	}
	if len(wrong) == 0 {
		t.Logf("%s, %s, reads COW pairs rightly: it is mended", lab.KernelImage(), release)
		return
	}
	t.Logf("%s, %s, has the fault: sectors %d to %d are read as those %d before them", lab.KernelImage(), release, wrong[0], wrong[len(wrong)-1], written)
}

// pair is what the pair holds; a page of it must be half written, or nothing is shown.
func pair(t *testing.T, file, backing string) []byte {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := os.Open(backing)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	c, err := cow.Open(f)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := c.Count(); err != nil || n.Sectors != 3 || n.Halves != 1 {
		t.Fatalf("the kernel wrote %+v, %v", n, err)
	}
	p, err := c.With(b)
	if err != nil {
		t.Fatal(err)
	}
	disc := make([]byte, c.Size)
	if _, err := p.ReadAt(disc, 0); err != nil && err != io.EOF {
		t.Fatal(err)
	}
	return disc
}

// fillNumbered makes each sector another.
func fillNumbered(disc []byte, what string) {
	for i := range len(disc) / 512 {
		copy(disc[i*512:][:512], fmt.Sprintf("sector %d %s", i, what))
	}
}
