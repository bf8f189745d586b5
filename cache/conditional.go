package cache

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// conditionalFields are the preconditions that this cache can evaluate, and
// that its own take the place of.
var conditionalFields = [...]string{"If-None-Match", "If-Modified-Since"}

// notModified evaluates a reader's If-None-Match or If-Modified-Since
// (RFC 9110 section 13.2.2, RFC 9111 section 4.3.2) for a response with these
// fields.
func (t *Transport) notModified(req http.Header, etag, lastModified, date string) bool {
	if lines := req["If-None-Match"]; len(lines) > 0 {
		return tagListed(lines, etag)
	}
	lines := req["If-Modified-Since"]
	if len(lines) != 1 {
		return false
	}
	now := t.now()
	since, ok := parseDate(lines[0], now)
	if !ok {
		return false
	}
	if lastModified == "" {
		lastModified = date
	}
	at, ok := parseDate(lastModified, now)
	return ok && !at.After(since)
}

// selection says what a 304 is about.
type selection uint8

const (
	selectsOther selection = iota // not what was asked about, or nobody can tell
	selectsAlike                  // the same version in other bytes, as a content coding makes them
	selectsSame
)

// selects tells which stored response a 304 to the fill's own condition is about
// (RFC 9111 section 4.3.4). Only cand's validators were in the condition, so a 304
// without any is about cand; one that has some must share one with it.
func (f *fill) selects(h http.Header) selection {
	old := f.cand
	tag, modified := h.Get("Etag"), h.Get("Last-Modified")
	have, since := old.etag(), old.field("Last-Modified")
	strong := tag != "" && opaqueTag(tag) == tag
	switch {
	case tag != "" && have != "":
		switch {
		case tag == have, !strong && opaqueTag(tag) == opaqueTag(have):
			return selectsSame
		case tag == opaqueTag(have) && f.keepsPolicy(h):
			return selectsAlike
		}
		return selectsOther
	case modified != "":
		if modified == since && (!strong || f.t.strongDate(since, old.field("Date"))) {
			return selectsSame
		}
		return selectsOther
	case tag != "":
		return selectsOther
	}
	return selectsSame
}

// keepsPolicy reports whether a 304 says of caching what cand says: where it may
// update nothing it mustn't have anything to say.
func (f *fill) keepsPolicy(h http.Header) bool {
	stored := f.cand.header()
	for _, name := range [...]string{"Cache-Control", "Expires", "Vary", "Cache-Groups", f.t.target} {
		if lines, ok := h[name]; ok && !slices.Equal(lines, stored[name]) {
			return false
		}
	}
	return true
}

// strongDate reports whether a Last-Modified is a strong validator: the response
// was made a second later at least (RFC 9110 section 8.8.2.2).
func (t *Transport) strongDate(lastModified, date string) bool {
	modified, ok := parseDate(lastModified, t.now())
	made, known := parseDate(date, t.now())
	return ok && known && made.Sub(modified) >= time.Second
}

// tagListed compares weakly.
func tagListed(lines []string, etag string) bool {
	for _, line := range lines {
		for rest := line; rest != ""; {
			rest = strings.TrimLeft(rest, " \t,")
			if strings.HasPrefix(rest, "*") {
				return true
			}
			tag := opaqueTag(rest)
			if tag == "" || tag[0] != '"' {
				// Not an entity tag; some send it bare.
				bare, after, _ := strings.Cut(rest, ",")
				if etag != "" && trimSpace(bare) == etag {
					return true
				}
				rest = after
				continue
			}
			end := strings.IndexByte(tag[1:], '"')
			if end < 0 {
				break
			}
			if etag != "" && tag[:end+2] == opaqueTag(etag) {
				return true
			}
			rest = tag[end+2:]
		}
	}
	return false
}

// strip turns a 200 into the 304 that answers a precondition.
func strip(resp *http.Response) *http.Response {
	_ = resp.Body.Close()
	resp.StatusCode, resp.Status = http.StatusNotModified, "304 Not Modified"
	resp.Body, resp.ContentLength, resp.TransferEncoding = http.NoBody, 0, nil
	for _, name := range [...]string{"Content-Length", "Content-Type", "Content-Encoding"} {
		delete(resp.Header, name)
	}
	return resp
}
