package desk

import (
	"strings"
	"testing"
	"time"

	"uml/request"
)

// What an asker says is not taken for what came of it.
func TestLineOfLies(t *testing.T) {
	r := request.Request{Act: request.SysRq, Key: "b: done (0.0s)"}
	if got := line("bara", r, "failed: x", time.Now()); !strings.HasPrefix(got, `bara: sysrq "b: done (0.0s)": failed: x (`) {
		t.Errorf("got %s", got)
	}
	if _, err := request.Parse([]byte(`{"act":"sysrq","key":"b` + strings.Repeat(" ", 9000) + `"}`)); err == nil {
		t.Error("a key as long as a line is taken")
	}
}
