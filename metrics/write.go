package metrics

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"uml/fault"
)

// Once looks once and writes text (exposition format 0.0.4): to out, or if file is not ""
// to that, whole or not at all. What could not be read is the error, after all else was
// written.
func Once(machines, service, file string, out io.Writer) error {
	if os.Geteuid() != 0 {
		return fault.Permanent("needs root")
	}
	var missed error
	r := prometheus.NewRegistry()
	r.MustRegister(&Collector{Machines: machines, Service: service, Say: func(err error) { missed = errors.Join(missed, err) }})
	if file == "" {
		return errors.Join(write(r, out), missed)
	}
	st, err := os.Lstat(file)
	if err == nil && !st.Mode().IsRegular() {
		return fault.Permanent("--output %s: is there, and no regular file", file)
	}
	// Beside it, mode 0644, and renamed: who reads has the old or the new.
	if err := prometheus.WriteToTextfile(file, r); err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", file, err), missed)
	}
	return missed
}

func write(r prometheus.Gatherer, out io.Writer) error {
	families, err := r.Gather()
	if err != nil {
		return err
	}
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(out, f); err != nil {
			return fmt.Errorf("print: %w", err)
		}
	}
	return nil
}
