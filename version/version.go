// Package version says what a binary was made from.
package version

import "runtime/debug"

// This is the tag or commit that this binary was built from.
func This() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "unknown"
	}
	return info.Main.Version
}
