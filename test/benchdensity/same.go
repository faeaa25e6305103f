package main

import (
	"fmt"
	"hash/maphash"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// pages calls do for each page of guests' RAM that the host holds.
func (g *guests) pages(do func(guest int, page []byte) error) error {
	for i, pid := range g.pids {
		names, err := filepath.Glob(g.b.l.Proc(pid, "fd/*"))
		if err != nil {
			return err
		}
		for _, name := range names {
			if to, err := os.Readlink(name); err != nil || !strings.HasPrefix(to, "/room/tmp/") {
				continue
			}
			if err := dataOf(name, func(page []byte) error { return do(i, page) }); err != nil {
				return err
			}
			break
		}
	}
	return nil
}

func dataOf(file string, do func([]byte) error) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	page := make([]byte, os.Getpagesize())
	for at := int64(0); ; {
		from, err := unix.Seek(int(f.Fd()), at, unix.SEEK_DATA)
		if err != nil {
			return nil // there is no more
		}
		to, err := unix.Seek(int(f.Fd()), from, unix.SEEK_HOLE)
		if err != nil {
			return err
		}
		for at = from; at < to; at += int64(len(page)) {
			if n, err := f.ReadAt(page, at); err != nil && err != io.EOF {
				return err
			} else if n < len(page) {
				continue // the file's last piece is none that a guest has
			}
			if err := do(page); err != nil {
				return err
			}
		}
	}
}

// merging says what of all guests' RAM is there more than once, and what the host's KSM
// makes of that; and of as much private memory that asks for it, to see that KSM works.
func (g *guests) merging() {
	seed := maphash.MakeSeed()
	all, zeros := 0, 0
	zero := maphash.Bytes(seed, make([]byte, os.Getpagesize()))
	seen := map[uint64]bool{}
	err := g.pages(func(_ int, page []byte) error {
		sum := maphash.Bytes(seed, page)
		all++
		if sum == zero {
			zeros++
		}
		seen[sum] = true
		return nil
	})
	if err != nil || all == 0 {
		fmt.Println("same pages: not measured:", err)
		return
	}
	fmt.Printf("Of %d pages of the guests' RAM %.0f%% are there once or are the first of their kind; %.0f%% are zeros\n", all, 100*float64(len(seen))/float64(all), 100*float64(zeros)/float64(all))

	const ksm = "/sys/kernel/mm/ksm/"
	was, err := os.ReadFile(ksm + "run")
	if err != nil {
		fmt.Println("KSM: not measured:", err)
		return
	}
	scan, _ := os.ReadFile(ksm + "pages_to_scan")
	defer func() {
		os.WriteFile(ksm+"run", []byte("2"), 0) // what was merged is taken apart
		os.WriteFile(ksm+"pages_to_scan", scan, 0)
		os.WriteFile(ksm+"run", was, 0)
	}()
	os.WriteFile(ksm+"pages_to_scan", []byte("100000"), 0)
	if err := os.WriteFile(ksm+"run", []byte("1"), 0); err != nil {
		fmt.Println("KSM: not measured:", err)
		return
	}
	scanned := func() { // all that asks for it, three times
		start := number(ksm + "full_scans")
		for end := time.Now().Add(time.Minute); time.Now().Before(end) && number(ksm+"full_scans") < start+3; time.Sleep(100 * time.Millisecond) {
		}
	}
	const own, size = "/proc/self/ksm_merging_pages", 16 << 20
	private, shared := same(size, unix.MAP_PRIVATE), same(size, unix.MAP_SHARED)
	scanned()
	withPrivate := number(own)
	unix.Madvise(shared, unix.MADV_MERGEABLE)
	unix.Munmap(private)
	scanned()
	guests := 0
	for _, pid := range g.pids {
		guests += number(g.b.l.Proc(pid, "ksm_merging_pages"))
	}
	fmt.Printf("KSM, pages that it has merged: of the guests %d; of %d pages that are the same in private memory that asks for it %d; of as many in shared memory, as guests' RAM is, that asks too %d\n",
		guests, size/os.Getpagesize(), withPrivate, number(own))
	unix.Munmap(shared)
}

// same is memory of the same pages, which if it is private asks to be merged.
func same(size, kind int) []byte {
	b, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|kind)
	if err != nil {
		panic(err)
	}
	for i := range b {
		b[i] = byte(i%4096) | 1
	}
	if kind == unix.MAP_PRIVATE {
		unix.Madvise(b, unix.MADV_MERGEABLE)
	}
	return b
}

func number(file string) int {
	text, _ := os.ReadFile(file)
	first, _, _ := strings.Cut(strings.TrimSpace(string(text))+" ", " ")
	n, _ := strconv.Atoi(first)
	return n
}

// compressing writes the guests' RAM to a compressed disc in memory, as swap would be there:
// that is what there would be to gain if all of it were swapped out.
func (g *guests) compressing() {
	const zram = "/sys/block/zram0/"
	if was, err := os.ReadFile(zram + "disksize"); err != nil || strings.TrimSpace(string(was)) != "0" {
		fmt.Println("zram: not measured: the host has no zram0 that is free")
		return
	}
	algorithm, _ := os.ReadFile(zram + "comp_algorithm")
	if err := os.WriteFile(zram+"disksize", []byte("8G"), 0); err != nil {
		fmt.Println("zram: not measured:", err)
		return
	}
	defer os.WriteFile(zram+"reset", []byte("1"), 0)
	disc, err := os.OpenFile("/dev/zram0", os.O_WRONLY|unix.O_DIRECT, 0)
	if err != nil {
		fmt.Println("zram: not measured:", err)
		return
	}
	defer disc.Close()
	aligned, _ := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	at := int64(0)
	err = g.pages(func(_ int, page []byte) error {
		copy(aligned, page)
		_, err := disc.WriteAt(aligned, at)
		at += int64(len(page))
		return err
	})
	text, _ := os.ReadFile(zram + "mm_stat")
	f := strings.Fields(string(text))
	if err != nil || len(f) < 6 {
		fmt.Println("zram: not measured:", err)
		return
	}
	used, _ := strconv.ParseFloat(f[2], 64)
	equal, _ := strconv.ParseFloat(f[5], 64)
	fmt.Printf("zram (%s): %.0f MB of the guests' RAM take %.0f MB in it, %.2f of that; %.0f%% of the pages are of one word\n",
		chosen(string(algorithm)), float64(at)/1e6, used/1e6, used/float64(at), 100*equal*float64(os.Getpagesize())/float64(at))
}

// chosen is the word in brackets.
func chosen(s string) string {
	_, s, _ = strings.Cut(s, "[")
	s, _, _ = strings.Cut(s, "]")
	return s
}
