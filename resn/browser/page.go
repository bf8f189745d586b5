package browser

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/goswale/swale/resn"
)

// page is one connection.
type page struct {
	h     *Handler
	r     *http.Request
	views []*view
	wake  chan struct{}
	out   transport
	id    []byte
}

// view is how far a page has come in one topic.
type view struct {
	topic *topic
	came  *position // where it wants to go on, until that is settled
	n     uint64    // entries of the topic that it is past
	at    position  // the same for ids
	fresh bool      // n and begin are settled
	begin position  // where it begins
	turns uint64    // changes of state that it was told, plus one
}

// transport writes messages to a page.
type transport interface {
	// write takes a message; data is JSON. It may keep it until flush.
	write(ctx context.Context, event string, id, data []byte) error
	flush(ctx context.Context) error
}

// rouse has the page look for what is new.
func (p *page) rouse() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// most is how many entries are taken at a time, which also bounds what is merged.
const most = 256

// serve writes to the page until it is gone, the handler ends, or the connection
// is old.
func (p *page) serve(ctx context.Context, out transport) {
	p.out = out
	// What is being written when the handler ends is written whole.
	until, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(p.h.life, cancel)()
	for _, v := range p.views {
		v.topic.join(p)
		defer v.topic.leave(p)
	}
	if err := p.loop(ctx, until); err != nil && ctx.Err() == nil {
		p.h.stats.dropped.Add(1)
		p.h.opts.Logger.Debug("page is gone", "error", err)
	}
}

// loop writes with ctx until the context until ends.
func (p *page) loop(ctx, until context.Context) error {
	o := &p.h.opts
	beat := time.NewTicker(o.Heartbeat)
	defer beat.Stop()
	resume := time.NewTimer(o.ResumeWait)
	defer resume.Stop()
	var old <-chan time.Time
	if o.MaxAge > 0 {
		timer := time.NewTimer(o.MaxAge)
		defer timer.Stop()
		old = timer.C
	}
	patient := true // with topics of which nobody knows how far they are
	for {
		more, err := p.look(ctx, patient)
		if err != nil {
			return err
		}
		if err := p.out.flush(ctx); err != nil {
			return err
		}
		if more && until.Err() == nil {
			continue
		}
		select {
		case <-p.wake:
		case <-resume.C:
			patient = false
		case <-beat.C:
			if err := p.out.write(ctx, "heartbeat", nil, []byte("{}")); err != nil {
				return err
			}
		case <-old:
			return nil
		case <-until.Done():
			return nil
		}
	}
}

// look writes what is new in each topic, and reports whether there may be more.
func (p *page) look(ctx context.Context, patient bool) (more bool, err error) {
	lost := make([]bool, len(p.views))
	// Every view is settled before anything is written, since ids speak of all.
	for i, v := range p.views {
		lost[i] = v.settle(patient)
	}
	for i, v := range p.views {
		if lost[i] {
			// Until it is told so the page is, by its ids, where it was.
			v.at = v.begin
			if err := p.reset(ctx, v, "what came since then is not kept here"); err != nil {
				return false, err
			}
		}
		if !v.fresh {
			continue
		}
		further, err := p.update(ctx, v)
		if err != nil {
			return false, err
		}
		more = more || further
	}
	return more, nil
}

// settle finds where a view begins, and reports whether the page must start over.
func (v *view) settle(patient bool) (lost bool) {
	if v.fresh {
		return false
	}
	t := v.topic
	t.mu.Lock()
	defer t.mu.Unlock()
	v.n = t.heard
	if v.came != nil {
		n, found, known := t.seek(*v.came)
		if !known && patient {
			v.at = *v.came
			return false
		}
		if lost = !found; found {
			v.n = n
		}
	}
	v.begin, v.fresh = t.behind(v.n), true
	if v.at = v.begin; lost {
		v.at = *v.came
	}
	return lost
}

// news is what a topic has for a page.
type news struct {
	entries []entry
	end     position // behind the last of them
	fell    bool     // the page was so slow that some are gone
	turned  bool     // the topic's state is another
	live    bool
	why     string
	more    bool
}

// take moves a view on, as far as entries are taken.
func (v *view) take() news {
	t := v.topic
	t.mu.Lock()
	defer t.mu.Unlock()
	var got news
	if v.n < t.first() {
		got.fell = true
		v.n = t.heard
	}
	got.entries = t.ring[v.n-t.first():]
	if len(got.entries) > most {
		got.entries, got.more = got.entries[:most], true
	}
	v.n += uint64(len(got.entries))
	got.end = t.behind(v.n)
	if !got.more && v.turns != t.turns+1 {
		v.turns, got.turned, got.live, got.why = t.turns+1, true, t.live, t.why
	}
	return got
}

// update writes what is new in one topic.
func (p *page) update(ctx context.Context, v *view) (more bool, err error) {
	got := v.take()
	if got.fell {
		v.at = got.end
		if err := p.reset(ctx, v, "the page was too slow"); err != nil {
			return false, err
		}
	}
	merged, dropped := merge(got.entries)
	p.h.stats.coalesced.Add(uint64(dropped))
	for i := range got.entries {
		v.at = got.end
		if i+1 < len(got.entries) {
			v.at = got.entries[i+1].before
			if v.at.epoch == "" {
				v.at = position{v.topic.here, v.n - uint64(len(got.entries)-i-1)}
			}
		}
		e := merged[i]
		if e == nil {
			continue
		}
		if err := p.tell(ctx, v, e); err != nil {
			return false, err
		}
	}
	if got.turned {
		return got.more, p.state(ctx, v, got.live, got.why)
	}
	return got.more, nil
}

func (p *page) tell(ctx context.Context, v *view, e *entry) error {
	if e.reset != "" {
		return p.reset(ctx, v, e.reset)
	}
	if !p.h.opts.Visible(p.r, e.notice) {
		return nil
	}
	p.h.stats.notices.Add(1)
	return p.out.write(ctx, "notice", p.position(), e.data)
}

// about is the data of reset, live and lost.
type about struct {
	Topic  string `json:"topic"`
	Reason string `json:"reason,omitempty"`
}

func (p *page) reset(ctx context.Context, v *view, why string) error {
	p.h.stats.resets.Add(1)
	return p.say(ctx, "reset", about{v.topic.name, why})
}

func (p *page) state(ctx context.Context, v *view, live bool, why string) error {
	if live {
		return p.say(ctx, "live", about{Topic: v.topic.name})
	}
	return p.say(ctx, "lost", about{v.topic.name, why})
}

func (p *page) say(ctx context.Context, event string, a about) error {
	data, err := json.Marshal(a)
	if err != nil {
		return err
	}
	return p.out.write(ctx, event, p.position(), data)
}

// position returns the id of the moment, until it is called again.
func (p *page) position() []byte {
	p.id = formatPositions(p.id[:0], p.views)
	return p.id
}

// merge makes one of the notices of each href, in the place of the last one. The
// others are nil.
func merge(entries []entry) (merged []*entry, dropped int) {
	merged = make([]*entry, len(entries))
	last := make(map[string]int, len(entries))
	for i := range entries {
		e := &entries[i]
		merged[i] = e
		if e.reset != "" {
			clear(last) // nothing is merged across it
			continue
		}
		j, ok := last[e.notice.Href]
		last[e.notice.Href] = i
		if !ok {
			continue
		}
		dropped++
		if kind := sum(merged[j].notice.Type, e.notice.Type); kind != e.notice.Type {
			joined := *e
			joined.notice.Type = kind
			if data, err := json.Marshal(joined.notice); err == nil {
				joined.data = data
			}
			merged[i] = &joined
		}
		merged[j] = nil
	}
	return merged, dropped
}

// sum is what two changes in a row amount to for somebody who saw neither.
func sum(first, second string) string {
	switch {
	case second == resn.Noop:
		return first
	case first == resn.Create && second == resn.Update:
		return resn.Create
	case first == resn.Delete && second == resn.Create:
		return resn.Update
	}
	return second
}
