package roster

import (
	"os"
	"testing"
)

func BenchmarkList(b *testing.B) {
	root := os.Getenv("BENCH_ROOT")
	for b.Loop() {
		dirs, _ := Dirs(root+"/machines", nil)
		r, _ := NewRound(root + "/service")
		if m, err := r.Look(dirs, true); len(m) != 1000 {
			b.Fatal(len(m), err)
		}
	}
}
