package inside

import (
	"uml/fault"
	"uml/job"
)

// upgrade is still to be written.
func upgrade(*job.Upgrade) error { return fault.Permanent("upgrades nothing yet") }
