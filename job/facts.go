package job

// Facts are what an appliance has found in a filesystem.
type Facts struct {
	Kind     string    // of the filesystem, such as ext4
	System   string    // PRETTY_NAME of os-release(5), "" if it says none
	ID       string    `json:",omitempty"` // of os-release: debian, alpine
	Release  string    `json:",omitempty"` // VERSION_CODENAME of it, or VERSION_ID
	Init     string    `json:",omitempty"` // systemd, sysvinit, openrc, busybox, runit
	Network  string    `json:",omitempty"` // what configures it: ifupdown, systemd-networkd, netplan, NetworkManager
	Cloud    bool      `json:",omitempty"` // cloud-init is there
	SSH      bool      `json:",omitempty"` // an ssh server is there
	Manager  string    `json:",omitempty"` // of packages: dpkg, apk, rpm
	Packages []Package `json:",omitempty"` // sorted by name; not of rpm, whose database is another matter
	Used     int64     // bytes
	Inodes   int64     // in use
	Fitted   *Fitted   `json:",omitempty"` // of Fit
}

// A Package is one that is installed.
type Package struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}
