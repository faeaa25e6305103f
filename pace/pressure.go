package pace

import (
	"fmt"

	"uml/pressure"
	"uml/settings"
)

// over says what of the pressure is too much: "pressure io 34 > 20"; "" if nothing is.
func over(p pressure.Some, limit settings.Pace) string {
	for _, r := range []struct {
		name string
		now  float64
		most int
	}{{"io", p.IO, limit.IO}, {"memory", p.Memory, limit.Memory}, {"cpu", p.CPU, limit.CPU}} {
		if r.now > float64(r.most) {
			return fmt.Sprintf("pressure %s %.0f > %d", r.name, r.now, r.most)
		}
	}
	return ""
}
