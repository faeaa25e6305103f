package test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// list runs go list in the module's root.
func list(t *testing.T, args ...string) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list"}, args...)...)
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %s: %v", strings.Join(args, " "), err)
	}
	return strings.Fields(string(out))
}

// ofEach is a list of every package's, such as its Imports, by one go list for all.
func ofEach(t *testing.T, what, packages string) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	var of string
	for _, word := range list(t, "-f", "of:{{.ImportPath}} {{join ."+what+` " "}}`, packages) {
		if name, ok := strings.CutPrefix(word, "of:"); ok {
			of = name
			all[of] = nil
			continue
		}
		all[of] = append(all[of], word)
	}
	return all
}

// The layout of docs/design.md: who may know of whom, however indirectly.
func TestLayout(t *testing.T) {
	t.Parallel()
	own := func(names ...string) (packages []string) {
		for _, n := range names {
			packages = append(packages, "uml/"+n)
		}
		return packages
	}
	all := ofEach(t, "Deps", "./...")
	low := own("fault", "handle", "settings")
	for name, may := range map[string][]string{
		"fault":      nil,
		"handle":     own("fault"),
		"settings":   own("fault", "handle"),
		"swap":       low,
		"memory":     low,
		"cgroup":     low,
		"ledger":     append(own("process"), low...),
		"pace":       append(own("pressure", "process"), low...),
		"pressure":   own("fault", "handle"),
		"process":    own("fault", "handle"),
		"sparse":     nil,
		"wire":       own("fault"),
		"delta":      own("fault", "sparse", "wire"),
		"cow":        own("fault", "sparse"),
		"superblock": own("fault"),
		"tool":       own("fault"),
		"progress":   nil,
		"disc":       append(own("cow", "initramfs", "kernel", "lock", "program", "sparse", "superblock", "tool"), low...),
		"initramfs":  own("fault"),
		"deb":        own("fault"),
		"kernels":    append(own("deb", "initramfs", "kernel", "lock", "program", "tool"), low...),
		"trial":      append(own("appliance", "cow", "initramfs", "job", "lock", "mconsole", "packet", "sparse", "superblock"), low...),
		"job":        own("fault"),
		"appliance":  append(own("initramfs", "job"), low...),
		// What runs in the guest.
		"early":      nil,
		"overlay":    own("early"),
		"fit":        own("fault", "job"),
		"template":   append(own("cow", "disc", "initramfs", "job", "kernel", "lock", "program", "sparse", "spelling", "superblock", "tool"), low...),
		"flatten":    append(own("sparse"), low...),
		"builder":    append(own("appliance", "cow", "disc", "flatten", "initramfs", "job", "kernel", "lock", "program", "sparse", "spelling", "superblock", "template", "tool", "version"), low...),
		"inside":     own("early", "fault", "fit", "job"),
		"probe":      own("fault"),
		"lock":       own("fault", "handle"),
		"mconsole":   own("fault", "handle", "packet"),
		"packet":     nil,
		"request":    own("fault", "handle", "mconsole", "packet"),
		"supervisor": own("fault", "handle"),
		"program":    own("fault", "handle"),
		"kernel":     append(own("program"), low...),
		"seccomp":    nil,
		"rights":     own("fault"),
		"jail":       append(own("seccomp"), low...), // never netsetup
		"firewall":   low,
		"guard":      own("fault"),
		"netsetup":   append(own("firewall", "guard"), low...), // never jail
		"radvd":      low,
		"spelling":   nil,
		"version":    nil,
		"cmdline":    append(own("spelling", "version"), low...),
		"screen":     nil,
		"logdir":     own("fault", "handle", "mconsole", "packet"),
		"console":    own("fault", "handle", "mconsole", "packet", "screen"),
		// What any customer runs: nothing that looks at machines.
		"shell": own("console", "fault", "handle", "mconsole", "packet", "request", "screen", "seccomp", "spelling"),
	} {
		deps, ok := all["uml/"+name]
		if !ok {
			t.Errorf("there is no package %s", name)
		}
		for _, dep := range deps {
			if strings.HasPrefix(dep, "uml/") && dep != "uml/"+name && !slices.Contains(may, dep) {
				t.Errorf("%s depends on %s", name, dep)
			}
		}
	}
	for main, imports := range ofEach(t, "Imports", "./cmd/...") {
		for _, dep := range imports {
			may := slices.Contains([]string{"uml/balance", "uml/builder", "uml/cmdline", "uml/cow", "uml/desk", "uml/disc", "uml/estate", "uml/kernels", "uml/progress", "uml/request", "uml/runscript", "uml/service", "uml/console", "uml/check", "uml/mconsole", "uml/metrics", "uml/move", "uml/radvd", "uml/roster", "uml/usage", "uml/logdir", "uml/overlay", "uml/inside", "uml/screen", "uml/settings", "uml/shell", "uml/template", "uml/tool", "uml/trial", "uml/version", "uml/fault", "github.com/urfave/cli/v2", "golang.org/x/sys/unix"}, dep)
			if library := strings.Contains(dep, "."); !may && (library || strings.HasPrefix(dep, "uml/")) {
				t.Errorf("%s imports %s", main, dep)
			}
		}
	}
}

// No program of the suite starts a process, but for the child of the SKAS trial, and
// iptables, by go-iptables (netsetup's TestStartsNone: not where the rules stand), and
// radvd, which alone can judge its configuration, the real programs for filesystems and
// images, uml-run for a throw-away guest, mmdebstrap, those by which a host makes
// accounts, ssh to the host that a machine is moved to, and what an upgrade runs in a guest.
func TestStartsNoProcess(t *testing.T) {
	t.Parallel()
	starts := []string{"exec.Command", "exec.CommandContext", "exec.Cmd", "os.StartProcess", "syscall.StartProcess", "syscall.ForkExec", "unix.ForkExec"}
	may := map[string]string{"runscript/skas.go": "syscall.ForkExec", "radvd/tell.go": "exec.CommandContext", "tool/tool.go": "exec.CommandContext", "appliance/start.go": "exec.CommandContext", "trial/watch.go": "exec.Command",
		"flatten/mmdebstrap.go": "exec.CommandContext", "builder/account.go": "exec.CommandContext", "estate/account.go": "exec.CommandContext", "move/ssh.go": "exec.CommandContext", "inside/run.go": "exec.Command"}
	seen := 0
	for _, dir := range list(t, "-f", "{{.Dir}}", "./...") {
		rel, err := filepath.Rel(filepath.Dir(abs(t, ".")), dir)
		if err != nil {
			t.Fatal(err)
		}
		if rel == "test" || strings.HasPrefix(rel, "test/") {
			continue
		}
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			seen++
			name := path.Join(rel, filepath.Base(file))
			for _, call := range selectors(t, file) {
				if slices.Contains(starts, call) && may[name] != call {
					t.Errorf("%s uses %s", name, call)
				}
				if strings.HasPrefix(call, "exec.") && call != "exec.LookPath" && call != "exec.ExitError" && may[name] != call {
					t.Errorf("%s uses %s", name, call)
				}
			}
		}
	}
	if seen < 50 {
		t.Errorf("only %d files were read", seen)
	}
}

func abs(t *testing.T, name string) string {
	t.Helper()
	p, err := filepath.Abs(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// selectors are all x.Y of a file.
func selectors(t *testing.T, file string) (all []string) {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(parsed, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := s.X.(*ast.Ident); ok {
				all = append(all, x.Name+"."+s.Sel.Name)
			}
		}
		return true
	})
	return all
}
