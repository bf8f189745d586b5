package cache_test

// The world in which the oracle judges: one cache, its clients, and an origin
// that answers as a script says. See oracle_test.go.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goswale/swale/cache"
)

// history is one run of a script, and what is known of it.
type history struct {
	script script
	cache  *cache.Transport
	store  store

	mu        sync.Mutex
	clock     int // numbers everything that happens
	step      int
	answered  int // exchanges of this step
	exchanges []*exchange
	open      int
	current   map[string]*version
	versions  int
	seen      map[string]http.Header // the last answer for each URL
	began     time.Time
	lines     []string
	wrong     string
	counts    map[string]int
}

// version is what an origin has to show for a URL and a language.
type version struct {
	body, tag, modified string
}

// play runs a script in a bubble of its own.
func play(t *testing.T, s script) *history {
	t.Helper()
	h := &history{script: s, current: map[string]*version{}, seen: map[string]http.Header{}, counts: map[string]int{}}
	synctest.Test(t, func(*testing.T) {
		h.began = time.Now()
		h.cache = cache.New(h, nil)
		for i := range s {
			if h.run(i); h.wrong != "" {
				break
			}
		}
		if err := h.cache.Close(); err != nil {
			h.wrong += err.Error()
		}
	})
	return h
}

func (h *history) tick() int {
	h.clock++
	return h.clock
}

func (h *history) logf(format string, args ...any) {
	h.lines = append(h.lines, fmt.Sprintf("%8s ", time.Since(h.began))+fmt.Sprintf(format, args...))
}

// run plays one step: its requests, until nothing is under way any more.
func (h *history) run(i int) {
	time.Sleep(h.script[i].wait)
	h.step, h.answered = i, 0
	first := len(h.exchanges)
	readings := make([]*reading, len(h.script[i].requests))
	var done sync.WaitGroup
	for n, q := range h.script[i].requests {
		readings[n] = &reading{n: i*10 + n, together: len(readings) > 1, method: q.method, url: q.url}
		done.Go(func() { h.read(readings[n], q) })
	}
	done.Wait()
	for range 100 {
		synctest.Wait()
		h.mu.Lock()
		open := h.open
		h.mu.Unlock()
		if open == 0 {
			break
		}
		time.Sleep(time.Second)
	}
	time.Sleep(time.Second - time.Since(h.began)%time.Second)
	all := slices.Clone(h.exchanges[first:])
	for _, r := range readings {
		var own []*exchange
		for _, e := range all {
			if e.reader == r.n {
				own = append(own, e)
			}
		}
		h.count(r, own)
		if why := judge(&h.store, r, own, all); why != "" && h.wrong == "" {
			h.wrong = fmt.Sprintf("reader %d: %s", r.n, why)
		}
	}
	slices.SortFunc(all, func(a, b *exchange) int { return a.receivedAt - b.receivedAt })
	for _, e := range all {
		h.store.take(e)
	}
}

// read sends one request and reads its answer. It runs in a synctest bubble.
func (h *history) read(r *reading, q request) {
	time.Sleep(q.delay)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if q.cancel > 0 {
		r.cancelled = true
		time.AfterFunc(q.cancel, cancel)
	}
	h.mu.Lock()
	fields := http.Header{"X-Reader": {strconv.Itoa(r.n)}}
	for _, f := range q.fields {
		if v := h.resolve(f.value, h.seen[r.url]); v != "" {
			fields[f.name] = append(fields[f.name], v)
		}
	}
	r.asked = fields
	r.a.start, r.a.startedAt = time.Now(), h.tick()
	h.logf("reader %d: %s %s %s", r.n, r.method, r.url, shown(fields))
	h.mu.Unlock()

	var body io.Reader
	if q.method != http.MethodGet && q.method != http.MethodHead {
		body = strings.NewReader("x")
	}
	req, err := http.NewRequestWithContext(ctx, q.method, q.url, body)
	if err != nil {
		panic(err)
	}
	req.Header = maps.Clone(fields)
	resp, err := h.cache.RoundTrip(req)
	if err == nil {
		r.a.status, r.a.header, r.a.length = resp.StatusCode, resp.Header.Clone(), resp.ContentLength
		var got []byte
		if q.read >= 0 {
			got = make([]byte, q.read)
			n, err := io.ReadFull(resp.Body, got)
			got, r.a.whole = got[:n], err == io.EOF || err == io.ErrUnexpectedEOF && false
		} else {
			got, r.a.readErr = io.ReadAll(resp.Body)
			r.a.whole = true
		}
		r.a.body = string(got)
		_ = resp.Body.Close()
		// A response belongs to who got it: what he does to it must not show
		// in anybody else's.
		for _, lines := range resp.Header {
			for i := range lines {
				lines[i] = "changed by its owner"
			}
		}
	}
	r.a.err = err
	h.mu.Lock()
	defer h.mu.Unlock()
	r.a.end, r.a.endedAt = time.Now(), h.tick()
	if !maps.EqualFunc(req.Header, fields, slices.Equal) {
		h.wrong = fmt.Sprintf("reader %d: the request was changed to %v", r.n, req.Header)
	}
	if err != nil {
		h.logf("reader %d: %v", r.n, err)
		return
	}
	h.logf("reader %d: %d %q %s%s", r.n, r.a.status, short(r.a.body), shown(r.a.header), broken(r.a.readErr))
	if r.a.status != http.StatusGatewayTimeout {
		h.seen[r.url] = r.a.header
	}
}

func broken(err error) string {
	if err != nil {
		return " and then " + err.Error()
	}
	return ""
}

// RoundTrip is the origin.
func (h *history) RoundTrip(req *http.Request) (*http.Response, error) {
	h.mu.Lock()
	s := h.script[h.step]
	t := s.answers[min(h.answered, len(s.answers)-1)]
	h.answered++
	reader, _ := strconv.Atoi(req.Header.Get("X-Reader"))
	e := &exchange{n: len(h.exchanges) + 1, reader: reader, step: h.step, together: len(s.requests) > 1,
		method: req.Method, url: req.URL.String(), asked: req.Header.Clone(), cut: -1, sent: time.Now(), sentAt: h.tick()}
	h.exchanges = append(h.exchanges, e)
	h.open++
	h.logf("   #%d ← %s %s %s", e.n, e.method, e.url, shown(e.asked))
	h.mu.Unlock()
	if req.Body != nil {
		_, _ = io.Copy(io.Discard, req.Body)
		_ = req.Body.Close()
	}

	err := error(nil)
	select {
	case <-time.After(t.delay):
	case <-req.Context().Done():
		err = req.Context().Err()
	}
	if t.fail && err == nil {
		err = errors.New("connection reset by the script")
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	e.received, e.receivedAt = time.Now(), h.tick()
	if err != nil {
		e.failed = true
		h.end(e)
		h.logf("   #%d → %v", e.n, err)
		return nil, err
	}
	h.answer(e, t)
	resp := &http.Response{StatusCode: e.status, Status: fmt.Sprint(e.status, " ", http.StatusText(e.status)), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: e.header.Clone(), ContentLength: -1, Request: req}
	sent := []byte(e.body)
	if e.method == http.MethodHead || e.status == 304 || e.status == 204 {
		sent = nil
	} else if t.cut && len(sent) > 0 {
		e.cut, e.silent = len(sent)/2, t.silent && !t.chunked
		sent = sent[:e.cut]
	}
	if n, err := strconv.Atoi(e.header.Get("Content-Length")); err == nil {
		resp.ContentLength = int64(n)
	}
	h.logf("   #%d → %d %q %s%s", e.n, e.status, short(e.body), shown(e.header), map[bool]string{true: " cut short"}[e.cut >= 0]+map[bool]string{true: " without an error"}[e.silent])
	resp.Body = &body{h: h, e: e, rest: bytes.NewReader(sent), pause: t.pause}
	return resp, nil
}

// end notes that nothing more comes of an exchange; h.mu is held.
func (h *history) end(e *exchange) {
	if e.endedAt == 0 {
		e.endedAt = h.tick()
		h.open--
	}
}

// answer makes what the origin says, by a template.
func (h *history) answer(e *exchange, t template) {
	place := e.url + e.asked.Get("Accept-Language")
	v := h.current[place]
	if v == nil || t.change {
		h.versions++
		v = &version{body: fmt.Sprintf("v%d|%s", h.versions, strings.Repeat("x", t.size)), modified: h.resolve(t.modified, nil)}
		v.tag = strings.ReplaceAll(t.tag, "V", fmt.Sprint("v", h.versions))
		if v.modified != "" || v.tag != "" || t.size > 0 {
			h.current[place] = v
		}
	}
	e.status, e.body = t.status, v.body
	e.header = http.Header{"X-Id": {strconv.Itoa(e.n)}}
	for _, f := range t.fields {
		e.header[f.name] = append(e.header[f.name], h.resolve(f.value, nil))
	}
	if v.tag != "" {
		e.header.Set("Etag", v.tag)
	}
	if v.modified != "" {
		e.header.Set("Last-Modified", v.modified)
	}
	tags, since := e.asked["If-None-Match"], e.asked.Get("If-Modified-Since")
	asked, same := len(tags) > 0 || since != "", tagged(tags, v.tag) || len(tags) == 0 && since != "" && since == v.modified
	if (e.method == http.MethodGet || e.method == http.MethodHead) && t.status == http.StatusOK {
		switch {
		case t.condition == "other" && asked:
			e.status = http.StatusNotModified
			e.header.Set("Etag", `"other"`)
		case t.condition == "strengthen" && same && v.tag != "":
			e.status = http.StatusNotModified
			e.header.Set("Etag", strings.TrimPrefix(v.tag, "W/"))
		case t.condition == "bare" && same:
			e.status = http.StatusNotModified
			e.header.Del("Etag")
			e.header.Del("Last-Modified")
		case t.condition != "ignore" && same:
			e.status = http.StatusNotModified
		}
	}
	if e.status == http.StatusNotModified || e.status == http.StatusNoContent {
		e.body = ""
		return
	}
	var from, to int
	if n, _ := fmt.Sscanf(e.asked.Get("Range"), "bytes=%d-%d", &from, &to); n == 2 && t.partial && e.status == 200 && e.method == http.MethodGet && from <= to && to < len(e.body) {
		e.header.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to, len(e.body)))
		e.status, e.body = http.StatusPartialContent, e.body[from:to+1]
	}
	if !t.chunked {
		e.header.Set("Content-Length", strconv.Itoa(len(e.body)))
	}
}

// resolve fills in what a script leaves to the moment: {now-60} is a date,
// {850-60} and {c-60} its old forms, {etag} and {modified} what was seen last.
func (h *history) resolve(value string, seen http.Header) string {
	for {
		before, rest, ok := strings.Cut(value, "{")
		if !ok {
			return value
		}
		word, after, _ := strings.Cut(rest, "}")
		forms := map[string]string{"now": http.TimeFormat, "850": strings.Replace(time.RFC850, "MST", "GMT", 1), "c": time.ANSIC}
		switch word {
		case "etag":
			word = seen.Get("Etag")
		case "modified":
			word = seen.Get("Last-Modified")
		default:
			i := strings.IndexAny(word, "+-")
			n, _ := strconv.Atoi(word[i:])
			word = time.Now().UTC().Add(time.Duration(n) * time.Second).Format(forms[word[:i]])
		}
		if word == "" {
			return ""
		}
		value = before + word + after
	}
}

// body is a body on its way from the origin.
type body struct {
	h     *history
	e     *exchange
	rest  *bytes.Reader
	pause time.Duration // before its last byte
}

// Read runs in a synctest bubble.
func (b *body) Read(p []byte) (int, error) {
	if len(p) > 0 && b.pause > 0 && b.rest.Len() > 1 {
		p = p[:min(len(p), b.rest.Len()-1)]
	} else if b.pause > 0 {
		time.Sleep(b.pause)
		b.pause = 0
	}
	n, err := b.rest.Read(p)
	if err == io.EOF || b.rest.Len() == 0 && b.e.cut < 0 {
		b.h.mu.Lock()
		b.h.end(b.e)
		b.h.mu.Unlock()
		if b.e.cut >= 0 && !b.e.silent {
			err = io.ErrUnexpectedEOF
		} else {
			err = io.EOF
		}
	}
	return n, err
}

func (b *body) Close() error {
	b.h.mu.Lock()
	defer b.h.mu.Unlock()
	if b.rest.Len() > 0 && b.e.endedAt == 0 {
		b.h.logf("   #%d: its body isn't wanted any more", b.e.n)
	}
	b.h.end(b.e)
	return nil
}

// shown is a header for people.
func shown(h http.Header) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(h)) {
		if name != "X-Reader" {
			fmt.Fprintf(&b, " · %s: %s", name, strings.Join(h[name], " | "))
		}
	}
	return b.String()
}
