package settings

import "testing"

// What a guest gets that no setting is about: as much as each other.
func TestSharesDefault(t *testing.T) {
	m := read(t, machine(t, account, map[string]string{"mem": "100M", "nproc": "100"}))
	same(t, "Groups", m.Groups, GroupsAuto)
	same(t, "CPU", m.CPU, CPUShare{Weight: 100})
	same(t, "IO", m.IO, IOShare{Weight: 100})
	same(t, "Limited", m.IO.Limited(), false)
	same(t, "Overhead", m.Overhead.String(), "114M")
	same(t, "PIDs", m.PIDs, 164)
}

func TestShares(t *testing.T) {
	m := read(t, machine(t, account, map[string]string{
		"cgroup": "require", "cpu": "limit 1.5\nweight  250", "io": "weight 1\nread 20M\nwrite 10K\nreads 500\nwrites 1", "overhead": "1G", "pids": "500",
	}))
	same(t, "Groups", m.Groups, GroupsRequire)
	same(t, "CPU", m.CPU, CPUShare{Weight: 250, Limit: 150})
	same(t, "IO", m.IO, IOShare{1, 20 * mib, 10 * kib, 500, 1})
	same(t, "Limited", m.IO.Limited(), true)
	same(t, "Overhead", m.Overhead, gib)
	same(t, "PIDs", m.PIDs, 500)
	none := read(t, machine(t, account, map[string]string{"overhead": "", "pids": "#none", "cgroup": "none"}))
	same(t, "Overhead none", none.Overhead, Size(0))
	same(t, "PIDs none", none.PIDs, 0)
	same(t, "Groups none", none.Groups, GroupsNone)
}

func TestSharesFaults(t *testing.T) {
	for _, c := range []struct{ setting, text, want string }{
		{"cgroup", "yes", `"yes" is no way to use control groups (try auto, require or none)`},
		{"cpu", "", "is empty, and cannot be none (remove the file for the default)"},
		{"cpu", "100", `"100": a share of the processors is weight N or limit PROCESSORS (try: limit 1.5)`},
		{"cpu", "weight 0", `"weight 0": "0" is not a number from 1 to 10000`},
		{"cpu", "limit 1\nlimit 2", `"limit 2": there is another line about the same`},
		{"io", "write 20", `"write 20": "20" is not a size (try 64M or 1G)`},
		{"io", "reads 0", `"reads 0": "0" is not a number from 1 to 1073741824`},
		{"io", "iops 5", `"iops 5": a share of the discs is weight N, read or write BYTES a second, reads or writes N a second (try: write 20M)`},
		{"overhead", "4M", `"4M": a kernel needs 16M beside its guest's RAM, and no host has more than 64T`},
		{"pids", "3", `"3" is not a number from 64 to 4194304`},
	} {
		same(t, c.setting+" "+c.text, faults(t, machine(t, account, map[string]string{c.setting: c.text})), "@/settings/"+c.setting+": "+c.want)
	}
}

func TestProcessors(t *testing.T) {
	for in, want := range map[string]int{
		"1": 100, "0.5": 50, "0.05": 5, "12.25": 1225, "10000": 1000000,
		"": 0, "0": 0, "0.00": 0, "-1": 0, "+1": 0, "1.": 0, ".5": 0, "1.005": 0, "1.-1": 0, "1.+1": 0, "1,5": 0, "10001": 0, "1.5.1": 0, "50%": 0,
	} {
		got, err := parseProcessors(in)
		if got != want || (err == nil) != (want != 0) {
			t.Errorf("%q: got %d, %v, want %d", in, got, err, want)
		}
	}
}
