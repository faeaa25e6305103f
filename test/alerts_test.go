package test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The rules and the dashboard that are shipped, by Prometheus' own reader: each alert
// fires when it should and only then, and all that the dashboard asks can be asked.
func TestAlerts(t *testing.T) {
	t.Parallel()
	promtool := func(dir string, args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "promtool", args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	promtool("../examples/prometheus", "check", "rules", "uml.rules.yml")
	promtool("../examples/prometheus", "test", "rules", "uml.rules.test.yml")

	text, err := os.ReadFile("../examples/grafana/uml.json")
	var board any
	if err == nil {
		err = json.Unmarshal(text, &board)
	}
	if err != nil {
		t.Fatal(err)
	}
	type rule struct {
		Record string `json:"record"`
		Expr   string `json:"expr"`
	}
	var rules []rule
	for _, e := range exprs(board) {
		e = strings.NewReplacer("$__rate_interval", "5m", "$instance", ".*", "$machine", ".*").Replace(e)
		rules = append(rules, rule{"asked", e})
	}
	if len(rules) < 20 {
		t.Fatalf("the dashboard asks for %d things", len(rules))
	}
	dir := t.TempDir()
	asked, _ := json.Marshal(map[string]any{"groups": []any{map[string]any{"name": "dashboard", "rules": rules}}}) // which is YAML too
	if err := os.WriteFile(filepath.Join(dir, "asked.yml"), asked, 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(dir, "check", "rules", "--lint=none", "asked.yml")
}

// exprs are all values of that name, however deep.
func exprs(v any) (all []string) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			all = append(all, exprs(e)...)
		}
	case map[string]any:
		if e, ok := v["expr"].(string); ok {
			all = append(all, e)
		}
		for _, e := range v {
			all = append(all, exprs(e)...)
		}
	}
	slices.Sort(all)
	return all
}
