package main

import (
	"fmt"
	"path/filepath"
)

// look is a look of uml-metrics over the trees of list.
func (b *bench) look() {
	numbers := []int{1, 10, 100, 1000}
	var commands [][]string
	for _, n := range numbers {
		commands = append(commands, []string{"uml-metrics", "--machines", filepath.Join(b.Dir, fmt.Sprint("tree", n))})
	}
	took := b.run(commands...)
	fmt.Printf("uml-metrics, wall time: median (least-most)\n")
	for i, n := range numbers {
		fmt.Printf("%6d machines  %s\n", n, spread(took[i]))
	}
	one, hundred, thousand := median(took[0]), median(took[2]), median(took[3])
	fmt.Printf("1,000 machines to 100, without what one takes: %.1f (10 is linear)\n\n", float64(thousand-one)/float64(hundred-one))
	b.proven(commands[2]...)
}
