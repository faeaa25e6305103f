package settings

import "uml/fault"

// CheckImage says whether an absolute path can be a machine's setting kernel.
func CheckImage(file string) error {
	if err := checkPath(file, true); err != nil {
		return fault.SettingBad.Permanent("%w", err)
	}
	return nil
}
