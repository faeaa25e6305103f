package netsetup

import (
	"context"
	"errors"
	"sync"
	"testing"

	"uml/settings"
)

// A hundred machines get and lose their network at once, and what no machine owns is
// collected meanwhile: the lists that the kernel gives are cut short by each other's
// changes, and nobody's network suffers.
func TestCrowd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.host.sh("ip -6 addr add 2001:db8::3/40 dev eth0 nodad")
	var all []*settings.Machine
	for i := range 100 {
		all = append(all, numbered(i))
	}
	owner := func(alias string) Owner {
		for _, m := range all {
			if Alias(m) == alias {
				return Owner{Machine: m, Locked: true}
			}
		}
		return Owner{Gone: true}
	}
	var crowd sync.WaitGroup
	each := func(do func(*settings.Machine) error) {
		for _, m := range all {
			crowd.Go(func() {
				w.host.do(func() {
					if err := do(m); err != nil {
						t.Errorf("%s: %v", m.Name, err)
					}
				})
			})
		}
	}
	each(func(m *settings.Machine) error {
		return errors.Join(up(context.Background(), m, host()), Release(m, host()), up(context.Background(), m, host()))
	})
	for range 5 {
		crowd.Go(func() {
			w.host.do(func() {
				g, err := TakeSurvey(host(), owner)
				if err == nil {
					_, _, err = g.Collect(context.Background())
					g.Close()
				}
				if err != nil {
					t.Errorf("gc: %v", err)
				}
			})
		})
	}
	crowd.Wait()
	if did := w.collectFor(t, host(), owner); did != "" {
		t.Errorf("afterwards gc does\n%s", did)
	}
	for _, m := range all {
		if left := w.plan(t, m); left != nil {
			t.Errorf("%s: Up would still do %q", m.Name, left)
		}
	}
	each(func(m *settings.Machine) error { return Down(m, host()) })
	crowd.Wait()
	if left := w.host.sh("ip link | grep tap_ || true; ip neigh show proxy; ip -6 neigh show proxy; ip route show proto 117; ip -6 route show proto 117"); left != "" {
		t.Errorf("left is\n%s", left)
	}
}
