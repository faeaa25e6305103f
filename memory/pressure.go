package memory

import (
	"strconv"
	"strings"

	"uml/fault"
)

// ParsePressure reads /proc/pressure/memory: in how many percent of the last ten seconds
// some process waited for memory (Documentation/accounting/psi.rst).
func ParsePressure(text string) (float64, error) {
	rest, ok := strings.CutPrefix(text, "some avg10=")
	number, _, _ := strings.Cut(rest, " ")
	percent, err := strconv.ParseFloat(number, 64)
	if !ok || err != nil || !(0 <= percent && percent <= 100) { // NaN is neither
		return 0, fault.Temporary("%q is no memory pressure", text[:min(len(text), 40)])
	}
	return percent, nil
}
