package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// binaries is the directory of the suite's binaries: $UML_BIN, or built here once.
var binaries = sync.OnceValues(func() (string, error) {
	if dir := os.Getenv("UML_BIN"); dir != "" {
		return filepath.Abs(dir)
	}
	mod, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOMOD: %w", err)
	}
	root := filepath.Dir(strings.TrimSpace(string(mod)))
	dir := filepath.Join(root, "bin")
	build := exec.Command("go", "build", "-trimpath", "-tags", "urfave_cli_no_docs", "-o", dir+"/", "./cmd/...")
	build.Dir = root
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build ./cmd/...: %w\n%s", err, out)
	}
	return dir, nil
})

// Binaries is the directory of the suite's binaries.
func Binaries(t TB) string {
	t.Helper()
	dir, err := binaries()
	if err != nil {
		t.Fatalf("lab: %v", err)
	}
	return dir
}
