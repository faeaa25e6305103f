package metrics

import (
	"bytes"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
)

// fresh: who asks again within that time has the same answer, so that asking without
// pause does not mean looking without pause.
const fresh = 2 * time.Second

// A page is the answer to all who ask: made by one of them at a time, and written to each
// from the same memory, so that who does not read it holds nothing that others need.
type page struct {
	from prometheus.Gatherer
	say  func(error)

	making sync.Mutex
	text   []byte
	made   time.Time
}

func newPage(o Options, say func(error)) *page {
	r := prometheus.NewRegistry()
	r.MustRegister(&Collector{Machines: o.Machines, Service: o.Service, Say: say})
	return &page{from: r, say: say}
}

func (p *page) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	text := p.now()
	if text == nil {
		http.Error(w, "see the log of uml-metrics", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", string(expfmt.NewFormat(expfmt.TypeTextPlain)))
	w.Write(text)
}

func (p *page) now() []byte {
	p.making.Lock()
	defer p.making.Unlock()
	if p.text != nil && time.Since(p.made) <= fresh {
		return p.text
	}
	var b bytes.Buffer
	if err := write(p.from, &b); err != nil {
		p.say(err)
		return nil
	}
	p.text, p.made = b.Bytes(), time.Now()
	return p.text
}
