package estate

import "testing"

func TestReplaceWord(t *testing.T) {
	for _, c := range [][2]string{
		{"ubd0,/t/a", "ubd0,/new"},
		{"/t/a r", "/new r"},
		{"# mine\nubd0,/t/a\n", "# mine\nubd0,/new\n"},
		{"/t/a", "/new"},
		{"/t/ab,/t/a rs", "/t/ab,/new rs"},
		{"/x/t/a", "/x/t/a"},
		{"", ""},
	} {
		if got := replaceWord(c[0], "/t/a", "/new"); got != c[1] {
			t.Errorf("%q: got %q, want %q", c[0], got, c[1])
		}
	}
}
