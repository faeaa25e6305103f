package inside

import (
	"uml/fault"
	"uml/job"
)

// unpack is still to be written.
func unpack(*job.Unpack) error { return fault.Permanent("unpacks nothing yet") }
