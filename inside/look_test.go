package inside

import (
	"reflect"
	"strings"
	"testing"

	"uml/job"
)

func TestParagraphs(t *testing.T) {
	dpkg := "Package: adduser\nStatus: install ok installed\nVersion: 3.134\nDescription: x\n" + strings.Repeat(" y", 5000) + "\n Version: 9\n\n" +
		"Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\n\n" +
		"Package: zlib1g\nStatus: install ok installed\nVersion: 1:1.2"
	want := []job.Package{{Name: "adduser", Version: "3.134"}, {Name: "zlib1g", Version: "1:1.2"}}
	if got := paragraphs(strings.NewReader(dpkg), "Package", "Version"); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v", got)
	}
	apk := "C:Q1=\nP:busybox\nV:1.36.1-r2\nF:bin\nR:busybox\n\n"
	if got := paragraphs(strings.NewReader(apk), "P", "V"); !reflect.DeepEqual(got, []job.Package{{Name: "busybox", Version: "1.36.1-r2"}}) {
		t.Errorf("got %v", got)
	}
}

func FuzzParagraphs(f *testing.F) {
	f.Add("Package: a\nVersion: 1\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, p := range paragraphs(strings.NewReader(text), "Package", "Version") {
			if p.Name == "" || len(p.Name) > 500 || len(p.Version) > 500 {
				t.Errorf("got %+v", p)
			}
		}
	})
}
