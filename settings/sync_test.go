package settings

import "testing"

// Each disc's flag s, by the setting, by the disc's own flag, and for one that comes later.
func TestSync(t *testing.T) {
	discs := map[string]string{"ubd0": "root", "ubd1": "data", "ubd2": "/base flags=r", "ubd3": "cow,/base", "ubd4": "own flags=s", "ubd5": "", "ubd6": "", "ubd7": ""}
	for sync, want := range map[string][5]bool{
		"-":                     {false, false, false, false, true},
		"no":                    {false, false, false, false, true},
		"yes":                   {true, true, false, true, true},
		"yes\nubd1 no\nubd2 no": {true, false, false, true, true},
		"ubd3 yes":              {false, false, false, true, true},
		"ubd1 yes\nno":          {false, true, false, false, true},
	} {
		set := map[string]string{"sync": sync}
		for name, value := range discs {
			set[name] = value
		}
		if sync == "-" {
			delete(set, "sync")
		}
		m := read(t, machine(t, account, set))
		for n, d := range m.Discs {
			same(t, sync+", "+d.File, d.Sync, want[n])
		}
		for name, n := range map[string]int{"ubd1": 1, "ubd3": 3} {
			d, err := m.Disc(name, "later")
			same(t, sync+", later "+name, d.Sync, want[n])
			same(t, sync+", later "+name, err, nil)
		}
		d, err := m.Disc("ubd1", "later flags=r")
		same(t, sync+", later read-only", d.Sync || err != nil, false)
	}
}

func TestSyncFaults(t *testing.T) {
	for sync, want := range map[string]string{
		"":                 "@/settings/sync: is empty, and cannot be none (remove the file for the default)",
		"yes\nno":          `@/settings/sync: "no": there is another line about the same`,
		"ubd2 no\nubd2 no": `@/settings/sync: "ubd2 no": there is another line about the same`,
		"x\nubd9 yes":      "@/settings/sync: \"x\" is neither yes nor no\n@/settings/sync: \"ubd9 yes\": is yes or no for all discs, or for one (try: ubd1 no)",
		"ubd1 no":          `@/settings/sync: "ubd1 no", and the disc has the flag s (remove one of them)`,
	} {
		same(t, sync, faults(t, machine(t, account, map[string]string{"sync": sync, "ubd1": "x flags=s"})), want)
	}
	m := read(t, machine(t, account, map[string]string{"sync": "ubd3 no"}))
	if _, err := m.Disc("ubd3", "later flags=s"); err == nil {
		t.Error("a disc that is attached may contradict the setting")
	}
}
