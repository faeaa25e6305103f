package metrics

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"uml/fault"
	"uml/handle"
	"uml/lock"
)

// machine makes a directory with settings and the note of starts.
func machine(t *testing.T, root, name string, mem string, notes ...lock.Note) {
	t.Helper()
	dir := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Join(dir, "settings"), 0o755); err != nil {
		t.Fatal(err)
	}
	for file, text := range map[string]string{"settings/mem": mem, "settings/user": "nobody", "lock": ""} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d, err := handle.OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for _, n := range notes {
		n.Since = time.Now()
		if err := lock.Leave(d, n); err != nil {
			t.Fatal(err)
		}
	}
}

// parse reads text as Prometheus does, and by its linter.
func parse(t *testing.T, text []byte) map[string]*dto.MetricFamily {
	t.Helper()
	problems, err := promlint.New(bytes.NewReader(text)).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
	p := expfmt.NewTextParser(model.LegacyValidation)
	families, err := p.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return families
}

func TestOnce(t *testing.T) {
	root := t.TempDir()
	machine(t, root, "web", "96M", lock.Note{ID: "disc-missing"}, lock.Note{Up: true}, lock.Note{ID: "disc-missing"}, lock.Note{Up: true}, lock.Note{ID: fault.MayPassID})
	machine(t, root, "bad", "lots")
	machine(t, root, "a\"}\n\\ \xff", "64M")
	machine(t, root, `a"}\n\\ \xff`, "64M")
	if err := os.Symlink("web", filepath.Join(root, "again")); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := Once(root, "/nosuch", "", &out); err != nil {
		t.Fatal(err)
	}
	parse(t, out.Bytes())
	for _, want := range []string{
		`uml_guest_starts_total{machine="web"} 2`,
		`uml_guest_refusals_total{machine="web",reason="disc-missing"} 2`,
		`uml_guest_refusals_total{machine="web",reason="may-pass"} 1`,
		`uml_guest_memory_promised_bytes{machine="web"} 1.00663296e+08`,
		`uml_guest_state{machine="web",state="down"} 1`,
		`uml_guest_settings_faults{machine="bad"} 1`,
		`uml_guest_starts_total{machine="bad"} 0`,
		`uml_look_success{part="machines"} 1`,
		`uml_guests{state="failing"} 0`,
		`uml_memory_promised_bytes 0`,
	} {
		if !strings.Contains(out.String(), want+"\n") {
			t.Errorf("no %s in\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), `cpu_seconds_total{machine="web"}`) {
		t.Errorf("of one that is down its CPU is told")
	}
}

// A file is there whole or as it was; what is no file stays.
func TestOutput(t *testing.T) {
	root, out := t.TempDir(), t.TempDir()
	machine(t, root, "web", "96M")
	file := filepath.Join(out, "uml.prom")
	for range 2 {
		if err := Once(root, "/nosuch", file, nil); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(file)
	if err != nil || len(parse(t, text)) < 10 {
		t.Errorf("%v\n%s", err, text)
	}
	st, _ := os.Stat(file)
	if left, _ := filepath.Glob(out + "/*"); len(left) != 1 || st.Mode() != 0o644 {
		t.Errorf("%v, mode %v", left, st.Mode())
	}
	for _, at := range []string{"/dev/null", out, filepath.Join(out, "no/such")} {
		if err := Once(root, "/nosuch", at, nil); err == nil {
			t.Errorf("%s was written", at)
		}
	}
	// The account whose directory it is puts a link in its place.
	his, roots := t.TempDir(), t.TempDir()
	if err := errors.Join(os.Chown(his, 65534, 65534), os.Symlink(roots, filepath.Join(his, "textfiles"))); err != nil {
		t.Fatal(err)
	}
	if err := Once(root, "/nosuch", filepath.Join(his, "textfiles/uml.prom"), nil); fault.Code(err) != 100 {
		t.Errorf("over another's link: %v", err)
	}
	if left, _ := os.ReadDir(roots); len(left) > 0 {
		t.Errorf("it was written over another's link: %v", left)
	}
	// No machines root: the rest is written, and the error said.
	if err := Once(filepath.Join(root, "none"), "/nosuch", file, nil); err == nil {
		t.Error("no machines root, and no error")
	}
	if text, _ := os.ReadFile(file); !strings.Contains(string(text), `uml_look_success{part="machines"} 0`) || strings.Contains(string(text), "uml_guests{") {
		t.Errorf("got\n%s", text)
	}
}
