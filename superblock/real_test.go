package superblock

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const mib = 1 << 20

// run gives the tool stdin; it finds those of sbin too.
func run(t *testing.T, stdin, name string, args ...string) string {
	t.Helper()
	t.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin")
	cmd := exec.Command(name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: got %v, %s", name, args, err, out)
	}
	return string(out)
}

func empty(t *testing.T, size int64) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "disc")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, size); err != nil {
		t.Fatal(err)
	}
	return file
}

func look(t *testing.T, file string) []Filesystem {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	found, err := Look(f, st.Size())
	if err != nil {
		t.Fatal(err)
	}
	return found
}

const id = "12345678-9abc-4def-8123-456789abcdef"

// What the real tools make is known, and blkid(8) agrees.
func TestReal(t *testing.T) {
	for _, c := range []struct {
		command string
		size    int64 // MiB
		want    Filesystem
		verdict Verdict
	}{
		{"mkfs.ext2 -q -b 1024 -L words -U " + id, 16, Filesystem{Kind: Ext2, Block: 1024, Size: 16 * mib, Label: "words", UUID: id}, Unsafe},
		{"mkfs.ext3 -q -b 2048 -U " + id, 16, Filesystem{Kind: Ext3, Block: 2048, Size: 16 * mib, UUID: id}, Unsafe},
		{"mkfs.ext4 -q -b 2048 -U " + id, 16, Filesystem{Kind: Ext4, Block: 2048, Size: 16 * mib, UUID: id}, Unsafe},
		{"mkfs.ext4 -q -b 4096 -L 0123456789abcdef -U " + id, 64, Filesystem{Kind: Ext4, Block: 4096, Size: 64 * mib, Label: "0123456789abcdef", UUID: id}, Safe},
		{"mkfs.ext4 -q -F -b 65536 -U " + id, 64, Filesystem{Kind: Ext4, Block: 65536, Size: 64 * mib, UUID: id}, Safe},
		{"mkfs.ext4 -q -O ^has_journal,^64bit -b 4096 -U " + id, 64, Filesystem{Kind: Ext4, Block: 4096, Size: 64 * mib, UUID: id}, Safe},
		{"mkfs.ext2 -q -O journal_dev -b 1024 -U " + id, 16, Filesystem{Kind: ExtJournal, Block: 1024, Size: 16 * mib, UUID: id}, Unsafe},
		{"mkfs.xfs -q -L words -m uuid=" + id, 400, Filesystem{Kind: XFS, Block: 512, Size: 400 * mib, Label: "words", UUID: id}, Unsafe},
		{"mkfs.xfs -q -s size=4096 -m uuid=" + id, 400, Filesystem{Kind: XFS, Block: 4096, Size: 400 * mib, UUID: id}, Safe},
		{"mkfs.xfs -q -s size=4096 -l su=32768 -m uuid=" + id, 400, Filesystem{Kind: XFS, Block: 4096, Size: 400 * mib, UUID: id}, Safe},
		{"mkfs.xfs -q -s size=512 -l su=4096 -m uuid=" + id, 400, Filesystem{Kind: XFS, Block: 512, Size: 400 * mib, UUID: id}, Unsafe},
		{"mkfs.xfs -q -b size=1024 -m uuid=" + id, 400, Filesystem{Kind: XFS, Block: 512, Size: 400 * mib, UUID: id}, Unsafe},
		{"mkfs.btrfs -q -L words -U " + id, 128, Filesystem{Kind: Btrfs, Block: 4096, Size: 128 * mib, Label: "words", UUID: id}, Safe},
		{"mkfs.btrfs -q -s 16384 -n 16384 -U " + id, 128, Filesystem{Kind: Btrfs, Block: 16384, Size: 128 * mib, UUID: id}, Safe},
		{"mkswap --pagesize 4096 -L words -U " + id, 16, Filesystem{Kind: Swap, Block: 4096, Size: 16 * mib, Label: "words", UUID: id}, Safe},
		{"mkswap --pagesize 65536 -U " + id, 16, Filesystem{Kind: Swap, Block: 65536, Size: 16 * mib, UUID: id}, Safe},
		{"true", 1, Filesystem{Kind: None}, Safe},
	} {
		t.Run(c.command, func(t *testing.T) {
			file := empty(t, c.size*mib)
			words := strings.Fields(c.command)
			run(t, "", words[0], append(words[1:], file)...)
			c.want.Room = c.size * mib
			got := look(t, file)
			if len(got) != 1 || got[0] != c.want {
				t.Fatalf("got %+v, want %+v", got, c.want)
			}
			if v, why := got[0].OnCOW(); v != c.verdict || (why != "") != (v != Safe) {
				t.Errorf("got verdict %d (%s), want %d", v, why, c.verdict)
			}
			if c.want.Kind == None {
				return
			}
			blkid := map[Kind]string{ExtJournal: "jbd"}[c.want.Kind]
			if blkid == "" {
				blkid = string(c.want.Kind)
			}
			if out := run(t, "", "blkid", "-p", "-o", "value", "-s", "TYPE", file); out != blkid+"\n" {
				t.Errorf("blkid: got %q, want %q", out, blkid)
			}
		})
	}
}

// The partitions that sfdisk(8) makes, and what is in them.
func TestPartitions(t *testing.T) {
	const size = 600 * mib
	type part struct {
		number   int
		at, room int64
		kind     Kind
		verdict  Verdict
	}
	for _, c := range []struct {
		name, script string
		want         []part
	}{
		{"mbr", "label: dos\n2048,65536\n67584,65536,S\n133120,,E\n135168,65536\n202752,65536\n", []part{
			{1, 1 * mib, 32 * mib, Ext4, Safe},
			{2, 33 * mib, 32 * mib, Ext4, Safe},
			{5, 66 * mib, 32 * mib, Ext4, Safe},
			{6, 99 * mib, 32 * mib, Ext4, Safe},
		}},
		{"mbr of old", "label: dos\n63,65536\n65599,65537\n", []part{
			{1, 63 * 512, 32 * mib, Ext4, Unsafe},
			{2, 65599 * 512, 32*mib + 512, Ext4, Unsafe},
		}},
		{"only logical ones, one with two behind it", "label: dos\n2048,1000000,E\n4096,65536\n71680,65536\n139264,65536\n", []part{
			{5, 2 * mib, 32 * mib, Ext4, Safe},
			{6, 35 * mib, 32 * mib, Ext4, Safe},
			{7, 68 * mib, 32 * mib, Ext4, Safe},
		}},
		{"gpt", "label: gpt\nsize=32M\nsize=64M\n", []part{
			{1, 1 * mib, 32 * mib, Ext4, Safe},
			{2, 33 * mib, 64 * mib, Ext4, Safe},
		}},
		{"gpt with a gap and an odd end", "label: gpt\n1: start=2048,size=65536\n7: start=67584,size=65537\n", []part{
			{1, 1 * mib, 32 * mib, Ext4, Safe},
			{7, 33 * mib, 32*mib + 512, Ext4, Unsafe},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := empty(t, size)
			run(t, c.script, "sfdisk", "-q", file)
			for _, p := range c.want {
				at := p.at
				run(t, "", "mkfs.ext4", "-q", "-F", "-b", "4096", "-E", "offset="+itoa(at), file, itoa(p.room/1024)+"k")
			}
			check := func(file string) {
				t.Helper()
				got := look(t, file)
				if len(got) != len(c.want) {
					t.Fatalf("got %+v, want %+v", got, c.want)
				}
				for i, f := range got {
					v, _ := f.OnCOW()
					if p := (part{f.Partition, f.At, f.Room, f.Kind, v}); p != c.want[i] {
						t.Errorf("got %+v, want %+v", p, c.want[i])
					}
				}
			}
			check(file)
			if strings.HasPrefix(c.name, "gpt") { // by the copy at the end too
				damage(t, file, 512, bytes.Repeat([]byte{0xff}, 512))
				check(file)
			}
		})
	}
}

func damage(t *testing.T, file string, at int64, b []byte) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(b, at); err != nil {
		t.Fatal(err)
	}
}
