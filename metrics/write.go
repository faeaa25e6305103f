package metrics

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"uml/fault"
	"uml/handle"
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
	return errors.Join(replace(file, func(f io.Writer) error { return write(r, f) }), missed)
}

// replace has who reads see the old file or the new. The directory may be another
// account's, as node_exporter's: no link of his is followed to it, and it is reached by its
// descriptor alone.
func replace(file string, fill func(io.Writer) error) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("write %s: %w", file, err)
		}
	}()
	at, err := handle.Follow(filepath.Dir(file))
	if errors.Is(err, os.ErrNotExist) {
		return fault.Permanent("%w", err)
	}
	if err != nil {
		return err
	}
	defer at.Close()
	dir, err := os.OpenRoot(fmt.Sprint("/proc/self/fd/", at.Fd()))
	if err != nil {
		return err
	}
	defer dir.Close()
	name := filepath.Base(file)
	if st, err := dir.Lstat(name); err == nil && !st.Mode().IsRegular() {
		return fault.Permanent("is there, and no regular file")
	}
	beside := fmt.Sprint(name, ".", os.Getpid()) // which node_exporter does not read
	dir.Remove(beside)                           // of one of that number that was killed
	f, err := dir.OpenFile(beside, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(f)
	err = errors.Join(fill(out), out.Flush(), f.Chmod(0o644), f.Close())
	if err == nil {
		err = dir.Rename(beside, name)
	}
	if err != nil {
		dir.Remove(beside)
	}
	return err
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
