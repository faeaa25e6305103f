package job

// Upgrade brings the packages of the filesystem's distribution up to date.
type Upgrade struct{}
