package system

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goswale/swale/cache"
	"github.com/goswale/swale/resn"
)

// reader is what a process has that reads: the real client, and what the judge
// knows about what came to it.
type reader struct {
	client *resn.Client
	subs   []*subscription

	happened int                 // the last step at which a message came
	notices  map[string][]notice // that came, by path, in the order in which they did
	topics   map[string]*heard
	wrote    map[string]int // by own writes, by path: the version, and when
	wroteAt  map[string]int
	tried    map[string]int // when own writes ended, with whatever outcome
	unheeded map[string]int // when own writes ended while their topic wasn't live
}

// notice is one that came.
type notice struct {
	n      int
	step   int
	tag    string
	inTurn bool // its number was new: its ETag may be believed
	text   string
}

// heard is how far a process has heard of a topic.
type heard struct {
	epoch   int // by order of appearance
	name    string
	last    uint64
	began   time.Time // when the epoch's first message came
	mark    time.Time // of the newest watermark
	changed int       // step at which the epoch changed
}

const (
	lease     = resn.DefaultLease
	tolerance = resn.DefaultClockTolerance
)

func (w *world) startReader(i int) {
	p := w.newProcess("reader " + string(rune('a'+i)))
	close(p.ended)
	p.reader = reader{
		notices: map[string][]notice{}, topics: map[string]*heard{}, wrote: map[string]int{}, wroteAt: map[string]int{}, tried: map[string]int{}, unheeded: map[string]int{},
	}
	listener := resn.ListenerOptions{}
	store := cache.Options{MaxBytes: w.plan.maxBytes, VouchLimit: w.plan.vouchLimit, MaxRecords: w.plan.maxRecords}
	w.mutation.reader(&listener, &store)
	var err error
	p.client, err = resn.NewClient(p.bus, &resn.ClientOptions{
		Transport: &network{w, p},
		Cache:     &store,
		Listener:  &listener,
		Guard:     &resn.GuardOptions{Retries: -1, Failures: 1 << 30},
	})
	if err != nil {
		panic(err)
	}
	w.mutation.cache(p.client.Cache())
	w.readers = append(w.readers, p)
	w.all = append(w.all, p)
}

// live reports whether the process says that it vouches for a topic.
func (p *process) live(topic string) bool {
	return slices.ContainsFunc(p.client.Topics(), func(s resn.TopicState) bool { return s.Topic == topic && s.Live })
}

// heard notes that a message came.
func (p *process) heard(s *said) {
	w := p.w
	w.mu.Lock()
	defer w.mu.Unlock()
	h := p.topics[s.topic]
	if h == nil {
		h = &heard{}
		p.topics[s.topic] = h
	}
	epoch := w.epochs[s.topic][s.epoch]
	inTurn := epoch == h.epoch && s.seq > h.last
	if epoch > h.epoch && !s.at.Before(h.mark) {
		*h = heard{epoch: epoch, name: s.epoch, began: w.epochsAt[s.topic+s.epoch], mark: h.mark, changed: w.step}
	}
	if epoch == h.epoch {
		h.last = max(h.last, s.seq)
		if s.kind == "watermark" && s.at.After(h.mark) && time.Until(s.at) <= tolerance {
			h.mark = s.at
		}
	}
	if s.change != nil {
		w.tally.count(countNotices)
		path := s.change.res.path
		if slices.ContainsFunc(p.notices[path], func(n notice) bool { return n.n == s.change.n }) {
			return // it says nothing new
		}
		p.notices[path] = append(p.notices[path], notice{s.change.n, w.step, s.tag, inTurn, s.text()})
		for _, x := range w.flying {
			if x.p == p && slices.Contains(x.res.parts, s.change.res) {
				w.tally.count(countAcross)
			}
		}
	}
}

// wanted is what a request asks for, apart from the resource.
type wanted struct{ query, lang string }

// ask is one reader's question.
type ask struct {
	p      *process
	id     int
	res    *resource
	want   wanted
	cancel context.CancelFunc

	start     int
	startAt   time.Time
	cancelled bool
	final     bool // everything works: it gets what is true

	// Set when it ended, with the world's mutex.
	status int
	header http.Header
	body   string
	err    error
}

func (a *ask) name() string { return "ask " + strconv.Itoa(a.id) }

// startAsk lets somebody in a process ask for something.
func (w *world) startAsk(p *process, r *resource, want wanted) *ask {
	w.asks++
	a := &ask{p: p, id: w.asks, res: r, want: want, start: w.step, startAt: time.Now()}
	w.asking = append(w.asking, a)
	w.tally.count(countAsks)
	w.say(p.name, []string{r.path}, "%s: GET %s%s %s", a.name(), r.path, want.query, want.lang)
	var ctx context.Context
	ctx, a.cancel = context.WithCancel(w.ctx)
	client := p.client.HTTP()
	if w.mutation.alone {
		client = &http.Client{Transport: cache.New(&network{w, p}, nil)}
	}
	w.work.Go(func() {
		a.run(ctx, client)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.ended = append(w.ended, a)
	})
	return a
}

func (a *ask) run(ctx context.Context, c *http.Client) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, origin+a.res.path+a.want.query, nil)
	if err != nil {
		a.err = err
		return
	}
	if a.want.lang != "" {
		req.Header.Set("Accept-Language", a.want.lang)
	}
	resp, err := c.Do(req)
	if err != nil {
		a.err = err
		return
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	a.status, a.header, a.body, a.err = resp.StatusCode, resp.Header, string(body), err
}

// collect judges what was answered during this step.
func (w *world) collect() {
	w.mu.Lock()
	ended := w.ended
	w.ended = nil
	w.mu.Unlock()
	slices.SortFunc(ended, func(a, b *ask) int { return a.id - b.id })
	for _, a := range ended {
		a.cancel()
		w.asking = slices.DeleteFunc(w.asking, func(o *ask) bool { return o == a })
		w.judge(a)
	}
}

// write is a PUT or DELETE by a reader's process, through its own client.
func (w *world) write(p *process, r *resource, method string) {
	w.tally.count(countWrites)
	w.say(p.name, []string{r.path}, "%s %s", method, r.path)
	w.work.Go(func() {
		ctx, cancel := context.WithTimeout(w.ctx, 10*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, method, origin+r.path, strings.NewReader("new"))
		if err != nil {
			return
		}
		resp, err := p.client.HTTP().Do(req)
		if err == nil {
			_ = resp.Body.Close()
		}
	})
}

// exchange is a request on its way to the owner and back.
type exchange struct {
	p       *process
	id      int
	res     *resource
	want    wanted
	method  string
	ifMatch string // If-None-Match
	noCache bool
	ctx     context.Context

	sent, done             int // steps
	sentAt, seenAt, doneAt time.Time
	read                   bool
	lags                   bool // a replica answered that was behind
	failed                 bool
	givenUp                bool
	makes                  *change     // a write: what it made
	unheard                []*resource // parts of which the newest own write hadn't been heard of when it was done
	sees                   seen
	status                 int
	tag                    string
	answer                 chan *http.Response
}

// network is the way from a process to the owners.
type network struct {
	w *world
	p *process
}

var errNetwork = errors.New("the network failed")

func (n *network) RoundTrip(req *http.Request) (*http.Response, error) {
	x := &exchange{
		p: n.p, method: req.Method, ctx: req.Context(), answer: make(chan *http.Response, 1),
		want:    wanted{query: queryOf(req.URL), lang: req.Header.Get("Accept-Language")},
		ifMatch: req.Header.Get("If-None-Match"), noCache: req.Header.Get("Cache-Control") == "no-cache",
		sentAt: time.Now(),
	}
	n.w.mu.Lock()
	x.res = n.w.resource(req.URL.Path)
	n.w.arrived = append(n.w.arrived, x)
	n.w.mu.Unlock()
	select {
	case resp := <-x.answer:
		if resp == nil {
			return nil, errNetwork
		}
		resp.Request = req
		return resp, nil
	case <-req.Context().Done():
		return nil, req.Context().Err()
	}
}

func queryOf(u *url.URL) string {
	if u.RawQuery == "" {
		return ""
	}
	return "?" + u.RawQuery
}
