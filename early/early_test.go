package early

import (
	"strings"
	"testing"
)

func TestOnBlocks(t *testing.T) {
	if got := onBlocks("nodev\tsysfs\nnodev\ttmpfs\n\text3\n\text4\n"); strings.Join(got, " ") != "ext3 ext4" {
		t.Errorf("got %q", got)
	}
}
