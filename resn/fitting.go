package resn

import (
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Bounds of what a [fitting] remembers of a topic, and how often something must
// be seen until it is no accident.
const (
	maxFitURLs    = 1024
	maxFitOrigins = 16
	fitRepeats    = 3
	// fitAfter is how long after a notice a response must have its version: a
	// replica may lag so long before it is somebody's mistake.
	fitAfter = 5 * time.Second
)

// fitting is a RoundTripper inside the cache that looks whether an owner's
// notices and its responses are about the same things. If they aren't nothing
// fails: what a notice doesn't name by the URL that it is read by is kept for as
// long as it is vouched for, and what never has the version that notices name is
// asked for with each read. It decides nothing and warns once of each.
type fitting struct {
	next http.RoundTripper
	log  *slog.Logger
	now  func() time.Time

	mu     sync.Mutex
	topics map[string]*topicFit
}

// topicFit is what was seen of one topic.
type topicFit struct {
	origins map[string]bool     // that responses of the topic came from
	urls    map[string][]string // by their folded form
	named   map[string]version  // by href: what the newest notice said
	met     bool                // a notice named one of the origins
	strays  int                 // notices that didn't, before one did
	others  int                 // responses in a row of another version than named
	said    map[string]bool
	warning string
}

type version struct {
	tag string
	at  time.Time
}

func newFitting(next http.RoundTripper, log *slog.Logger, clock func() time.Time) *fitting {
	if clock == nil {
		clock = time.Now
	}
	return &fitting{next: next, log: log, now: clock, topics: map[string]*topicFit{}}
}

// CloseIdleConnections closes those of the transport behind.
func (f *fitting) CloseIdleConnections() {
	if c, ok := f.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// RoundTrip looks at what the cache is filled with. A hit doesn't come here.
func (f *fitting) RoundTrip(req *http.Request) (*http.Response, error) {
	asked := f.now()
	resp, err := f.next.RoundTrip(req)
	if err == nil && req.Method == http.MethodGet && named(resp) {
		f.response(req, resp, asked)
	}
	return resp, err
}

func (f *fitting) response(req *http.Request, resp *http.Response, asked time.Time) {
	at, err := parseHref(req.URL.String())
	if err != nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, topic := range namedTopics(resp.Header["Cache-Control"]) {
		t := f.topics[topic]
		if t == nil {
			if len(f.topics) >= DefaultMaxTopics {
				continue
			}
			t = &topicFit{origins: map[string]bool{}, urls: map[string][]string{}, named: map[string]version{}, said: map[string]bool{}}
			f.topics[topic] = t
		}
		if len(t.origins) < maxFitOrigins {
			t.origins[at.origin] = true
		}
		t.read(at.href)
		f.kept(topic, t, at.href, resp.StatusCode, resp.Header)
		if resp.StatusCode == http.StatusOK || resp.Header.Get("Etag") != "" {
			f.versions(topic, t, at.href, resp.Header, asked)
		}
	}
}

// kept warns of a response that asks to be kept until a notice, and forbids it.
func (f *fitting) kept(topic string, t *topicFit, href string, status int, h http.Header) {
	control := strings.ToLower(strings.Join(h["Cache-Control"], ","))
	switch {
	case strings.Contains(control, "no-store"):
		f.warn(topic, t, "stored", fmt.Sprintf("the response of %s names the topic and says no-store: it is never kept", clip(href)))
	case strings.Contains(strings.Join(h["Vary"], ","), "*"):
		f.warn(topic, t, "stored", fmt.Sprintf("the response of %s names the topic and says Vary: *: it is never reused", clip(href)))
	case status == http.StatusOK && h.Get("Etag") == "" && h.Get("Last-Modified") == "":
		f.warn(topic, t, "validator", fmt.Sprintf("the response of %s has no ETag: it is fetched whole where it could be confirmed; resn.Tag makes them", clip(href)))
	}
}

// versions warns of responses that don't have the version that was noticed.
func (f *fitting) versions(topic string, t *topicFit, href string, h http.Header, asked time.Time) {
	want, ok := t.named[href]
	if !ok || asked.Sub(want.at) < fitAfter {
		return
	}
	have := strings.TrimPrefix(h.Get("Etag"), "W/")
	stem := strings.TrimSuffix(want.tag, `"`)
	if have == want.tag || strings.HasPrefix(have, stem+"~") {
		t.others = 0
		delete(t.named, href)
		return
	}
	if t.others++; t.others >= fitRepeats {
		f.warn(topic, t, "version", fmt.Sprintf("notices name other versions than responses have: %s was announced as %s, and %v later its ETag is %s; "+
			"it is asked for with each read. Announce the ETag that the handler sends, or none",
			clip(href), clip(want.tag), asked.Sub(want.at).Round(time.Second), clip(orNone(have))))
	}
}

// notice looks at what a notice names. It is called from the listener.
func (f *fitting) notice(e *Event) {
	if e.Type == Noop {
		return
	}
	at, err := parseHref(e.Href)
	if err != nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.topics[e.Topic]
	if t == nil {
		return // nothing was read yet
	}
	if twin := t.twin(at.href); twin != "" {
		f.warn(e.Topic, t, "href", fmt.Sprintf("a notice names %s, and what is read is %s: they are two resources, so it doesn't end the reuse of what is kept", clip(at.href), clip(twin)))
	}
	if !t.origins[at.origin] {
		if t.strays++; !t.met && t.strays == fitRepeats {
			f.warn(e.Topic, t, "origin", fmt.Sprintf("notices name resources of %s, and responses of the topic come from %s: none of them has ended the reuse of anything. "+
				"Read by the URLs that the owner announces, or announce those that are read", at.origin, t.someOrigin()))
		}
		return
	}
	t.met = true
	delete(t.named, at.href)
	if e.ETag != "" && e.Type != Delete && len(t.named) < maxFitURLs {
		t.named[at.href] = version{strings.TrimPrefix(e.ETag, "W/"), f.now()}
	}
}

// warn says something once. f.mu is held.
func (f *fitting) warn(topic string, t *topicFit, kind, text string) {
	if t.said[kind] {
		return
	}
	t.said[kind] = true
	t.warning = text
	f.log.Warn("misconfigured?", "topic", topic, "warning", text)
}

// warning is the newest one of a topic.
func (f *fitting) warning(topic string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if t := f.topics[topic]; t != nil {
		return t.warning
	}
	return ""
}

// read keeps a URL, so that notices can be compared with it.
func (t *topicFit) read(href string) {
	key := folded(href)
	if !slices.Contains(t.urls[key], href) && len(t.urls) < maxFitURLs && len(t.urls[key]) < 4 {
		t.urls[key] = append(t.urls[key], href)
	}
}

// twin returns a URL that was read and differs from the href only in what people
// mix up, if the href itself wasn't read.
func (t *topicFit) twin(href string) string {
	twin := ""
	for _, have := range t.urls[folded(href)] {
		if have == href {
			return ""
		}
		twin = have
	}
	return twin
}

func (t *topicFit) someOrigin() string {
	for o := range t.origins {
		return o
	}
	return "elsewhere"
}

// folded is a URL without what people mix up: the scheme, a slash at the end,
// upper case.
func folded(href string) string {
	_, rest, _ := strings.Cut(href, "://")
	path, query, _ := strings.Cut(rest, "?")
	return strings.ToLower(strings.TrimRight(path, "/")) + "?" + query
}

// namedTopics are those that Cache-Control fields name by resn.
func namedTopics(lines []string) []string {
	var topics []string
	for _, line := range lines {
		for {
			_, rest, ok := strings.Cut(line, "resn=")
			if !ok {
				break
			}
			value, after, _ := strings.Cut(rest, ",")
			if quoted, ok := strings.CutPrefix(rest, `"`); ok {
				value, after, _ = strings.Cut(quoted, `"`)
			}
			topics, line = append(topics, strings.Fields(value)...), after
		}
	}
	return topics
}

func orNone(tag string) string {
	if tag == "" {
		return "missing"
	}
	return tag
}
