package deb

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"uml/fault"
)

const (
	arMagic    = "!<arch>\n"
	dataName   = "data.tar"
	maxMembers = 100
)

// findData finds the member with the files. An ar archive is its magic, and for each
// member a header of 60 bytes in text and its content, padded to an even size (ar(5)).
func findData(r io.ReaderAt) (name string, data *io.SectionReader, err error) {
	magic := make([]byte, len(arMagic))
	if _, err := r.ReadAt(magic, 0); err != nil || string(magic) != arMagic {
		return "", nil, fault.SourceBad.Permanent("is no Debian package")
	}
	at := int64(len(arMagic))
	for n := range maxMembers {
		header := make([]byte, 60)
		if _, err := r.ReadAt(header, at); err != nil {
			return "", nil, fault.SourceBad.Permanent("is no Debian package: no member %s in it", dataName)
		}
		name, size, err := member(string(header))
		if err != nil {
			return "", nil, err
		}
		if n == 0 && name != "debian-binary" {
			return "", nil, fault.SourceBad.Permanent("is an archive, but no Debian package (its first member is %q)", name)
		}
		at += int64(len(header))
		if name == dataName || strings.HasPrefix(name, dataName+".") {
			return name, io.NewSectionReader(r, at, size), nil
		}
		at += size + size&1
	}
	return "", nil, fault.SourceBad.Permanent("is no Debian package: more than %d members", maxMembers)
}

// member takes a header apart: name 16 bytes, then time, owner, group, mode, size 10
// bytes, and two of magic.
func member(h string) (name string, size int64, err error) {
	size, err = strconv.ParseInt(strings.TrimRight(h[48:58], " "), 10, 64)
	if err != nil || size < 0 || h[58:] != "`\n" {
		return "", 0, fault.SourceBad.Permanent("is damaged: %w", fmt.Errorf("a member's header is %q", h))
	}
	return strings.TrimSuffix(strings.TrimRight(h[:16], " "), "/"), size, nil
}
