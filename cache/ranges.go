package cache

import (
	"net/http"
	"strconv"
	"strings"
)

// A range request is answered from a complete entry. Without one it passes
// untouched, and what it brings isn't stored: a part is never served as the
// whole. But a part of the stored version freshens that, see fill.isPart.

// span is a part of a body.
type span struct{ from, to int64 } // to is exclusive

type rangeKind uint8

const (
	rangeIgnore rangeKind = iota // malformed, or another unit: the whole is the answer
	rangeOne
	rangeMany // more than one: left to the origin
	rangeUnsatisfiable
)

// parseRange reads a Range field (RFC 9110 section 14.1.2).
func parseRange(field string, size int64) (span, rangeKind) {
	set, ok := strings.CutPrefix(field, "bytes=")
	if !ok {
		return span{}, rangeIgnore
	}
	if strings.Contains(set, ",") {
		return span{}, rangeMany
	}
	first, last, ok := strings.Cut(trimSpace(set), "-")
	if !ok {
		return span{}, rangeIgnore
	}
	if first == "" {
		n, err := strconv.ParseUint(last, 10, 62)
		switch {
		case err != nil:
			return span{}, rangeIgnore
		case n == 0 || size == 0:
			return span{}, rangeUnsatisfiable
		}
		return span{max(size-int64(n), 0), size}, rangeOne
	}
	from, err := strconv.ParseUint(first, 10, 62)
	if err != nil {
		return span{}, rangeIgnore
	}
	to := uint64(size)
	if last != "" {
		end, err := strconv.ParseUint(last, 10, 62)
		if err != nil || end < from {
			return span{}, rangeIgnore
		}
		to = min(end+1, uint64(size))
	}
	if int64(from) >= size {
		return span{}, rangeUnsatisfiable
	}
	return span{int64(from), int64(to)}, rangeOne
}

// ifRange reports whether the range is wanted of this very version (RFC 9110
// section 13.1.5): by strong comparison, or by the exact date if that is a
// strong validator.
func (t *Transport) ifRange(req http.Header, e *entry) bool {
	lines := req["If-Range"]
	if len(lines) == 0 {
		return true
	}
	want := lines[0]
	if strings.HasPrefix(want, `"`) {
		return want == e.etag()
	}
	return want == e.field("Last-Modified") && t.strongDate(want, e.field("Date"))
}

// slice cuts a 200 from the store down to the wanted part.
func slice(resp *http.Response, e *entry, s span, kind rangeKind) *http.Response {
	body := e.body()
	size := strconv.Itoa(len(body))
	if kind == rangeUnsatisfiable {
		resp.StatusCode, resp.Status = http.StatusRequestedRangeNotSatisfiable, "416 Requested Range Not Satisfiable"
		resp.Header["Content-Range"] = []string{"bytes */" + size}
		resp.Header["Content-Length"] = []string{"0"}
		delete(resp.Header, "Content-Type")
		resp.Body, resp.ContentLength = http.NoBody, 0
		return resp
	}
	part := body[s.from:s.to]
	resp.StatusCode, resp.Status = http.StatusPartialContent, "206 Partial Content"
	resp.Header["Content-Range"] = []string{
		"bytes " + strconv.FormatInt(s.from, 10) + "-" + strconv.FormatInt(s.to-1, 10) + "/" + size,
	}
	resp.Header["Content-Length"] = []string{strconv.Itoa(len(part))}
	resp.Body, resp.ContentLength = &storedBody{rest: part}, int64(len(part))
	return resp
}
