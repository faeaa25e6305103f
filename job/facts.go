package job

// Facts are what an appliance has found in a filesystem.
type Facts struct {
	Kind   string  // of the filesystem, such as ext4
	System string  // PRETTY_NAME of os-release(5), "" if it says none
	Used   int64   // bytes
	Fitted *Fitted `json:",omitempty"` // of Fit
}
