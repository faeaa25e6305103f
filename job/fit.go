package job

// Fit makes a guest's own filesystem of a template's copy (paper 2.4).
type Fit struct {
	Hostname string
}
