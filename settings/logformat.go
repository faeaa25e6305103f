package settings

import (
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// Formats of messages.
const (
	LogText = "text"
	LogJSON = "json"
)

// IsLogFormat says whether s is one.
func IsLogFormat(s string) bool { return s == LogText || s == LogJSON }

// LogFormat is the host's setting log-format before all others are read, in which what is wrong
// with them is said; "" if there is none, or none that is right, which ReadHost tells. Where it
// is not set it costs one system call.
func LogFormat(hostDir string) string {
	fd, err := unix.Open(path.Join(hostDir, "log-format"), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return ""
	}
	f := os.NewFile(uintptr(fd), "log-format")
	defer f.Close()
	text := make([]byte, maxFile)
	n, _ := f.Read(text)
	if lines := splitLines(string(text[:n])); len(lines) == 1 && IsLogFormat(lines[0]) {
		return lines[0]
	}
	return ""
}
