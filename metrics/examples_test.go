package metrics

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

// What of Grafana's schema for dashboards ours uses (schemaVersion 39, Grafana 11): any
// other field is a slip of the pen, since Grafana ignores what it does not know.
type (
	dashboard struct {
		UID           string    `json:"uid"`
		Title         string    `json:"title"`
		Description   string    `json:"description"`
		Tags          []string  `json:"tags"`
		SchemaVersion int       `json:"schemaVersion"`
		Version       uint32    `json:"version"`
		Editable      bool      `json:"editable"`
		GraphTooltip  int       `json:"graphTooltip"`
		Timezone      string    `json:"timezone"`
		FiscalYear    uint8     `json:"fiscalYearStartMonth"`
		Refresh       string    `json:"refresh"`
		Time          fromTo    `json:"time"`
		Links         []any     `json:"links"`
		Annotations   listed    `json:"annotations"`
		Templating    templates `json:"templating"`
		Panels        []panel   `json:"panels"`
	}
	fromTo     struct{ From, To string }
	listed     struct{ List []any }
	templates  struct{ List []variable }
	datasource struct{ Type, UID string }
	variable   struct {
		Name, Label, Type, Definition, Regex string
		Datasource                           *datasource
		Query                                any
		Refresh, Sort, Hide                  int
		Multi, IncludeAll, SkipURLSync       bool
		AllValue                             string
		Options                              []any
		Current                              map[string]any
	}
	panel struct {
		ID                       int
		Type, Title, Description string
		Collapsed                bool
		Datasource               *datasource
		GridPos                  struct{ H, W, X, Y int }
		FieldConfig              *struct {
			Defaults struct {
				Unit       string
				Color      struct{ Mode string }
				Min, Max   *float64
				Thresholds struct {
					Mode  string
					Steps []struct {
						Color string
						Value *float64
					}
				}
				Custom *struct {
					DrawStyle, ShowPoints  string
					LineWidth, FillOpacity int
					Stacking               struct{ Mode, Group string }
				}
			}
			Overrides []any
		}
		Options         map[string]any
		Targets         []target
		Transformations []struct {
			ID      string
			Options map[string]any
		}
		Panels []panel
	}
	target struct {
		RefID, EditorMode, Expr, LegendFormat, Format string
		Datasource                                    datasource
		Instant, Range                                bool
	}
)

func TestDashboard(t *testing.T) {
	text, err := os.ReadFile("../examples/grafana/uml.json")
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&d); err != nil {
		t.Fatal(err)
	}
	if l := len(d.UID); l < 8 || l > 40 || d.SchemaVersion < 36 {
		t.Errorf("uid %q, schemaVersion %d", d.UID, d.SchemaVersion)
	}
	variables := map[string]bool{"__rate_interval": true}
	for _, v := range d.Templating.List {
		variables[v.Name] = true
	}
	ids, taken := map[int]bool{}, map[[2]int]int{}
	for _, p := range d.Panels {
		if ids[p.ID] || p.Title == "" {
			t.Errorf("panel %d %q", p.ID, p.Title)
		}
		ids[p.ID] = true
		if g := p.GridPos; g.W < 1 || g.H < 1 || g.X < 0 || g.X+g.W > 24 {
			t.Errorf("%s: is outside of the grid", p.Title)
		}
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if other, ok := taken[at]; ok {
					t.Fatalf("%s lies on panel %d", p.Title, other)
				}
				taken[at] = p.ID
			}
		}
		asks(t, p, variables)
	}
	known(t, "the dashboard", string(text))
}

// asks: each panel but a row asks something, of the data source that is chosen.
func asks(t *testing.T, p panel, variables map[string]bool) {
	t.Helper()
	switch p.Type {
	case "row":
		return
	case "stat", "timeseries", "table":
	default:
		t.Errorf("%s: no such panel: %s", p.Title, p.Type)
	}
	if len(p.Targets) == 0 || p.FieldConfig == nil || p.FieldConfig.Defaults.Unit == "" {
		t.Errorf("%s: shows nothing", p.Title)
	}
	refs := map[string]bool{}
	for _, q := range p.Targets {
		if refs[q.RefID] || q.Datasource != (datasource{"prometheus", "${datasource}"}) || q.Instant == q.Range {
			t.Errorf("%s: %+v", p.Title, q)
		}
		refs[q.RefID] = true
		for _, v := range regexp.MustCompile(`\$\{?(\w+)`).FindAllStringSubmatch(q.Expr, -1) {
			if !variables[v[1]] {
				t.Errorf("%s: there is no variable %s", p.Title, v[1])
			}
		}
	}
}

// known: only what we say is asked for.
func known(t *testing.T, where, text string) {
	t.Helper()
	names := map[string]bool{}
	for _, m := range all {
		names[nameOf(m)] = true
	}
	found := regexp.MustCompile(`\buml_\w+`).FindAllString(text, -1)
	for _, name := range found {
		if !names[name] {
			t.Errorf("%s: %s is told by nobody", where, name)
		}
	}
	if len(found) == 0 {
		t.Errorf("%s asks for nothing", where)
	}
}

func nameOf(m metric) string {
	var name string
	fmt.Sscanf(m.String(), "Desc{fqName: %q", &name)
	return name
}

func TestRules(t *testing.T) {
	for _, file := range []string{"../examples/prometheus/uml.rules.yml", "../examples/prometheus/uml.rules.test.yml"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		known(t, file, string(text))
	}
}

// Each metric has its line in the manual page.
func TestManual(t *testing.T) {
	text, err := os.ReadFile("../docs/uml-metrics.8")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		if !strings.Contains(string(text), "\n.It "+nameOf(m)) {
			t.Errorf("uml-metrics(8) is silent of %s", nameOf(m))
		}
	}
}
