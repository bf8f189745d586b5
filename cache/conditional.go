package cache

import (
	"net/http"
	"strings"
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
	for _, name := range [...]string{"Content-Length", "Content-Type", "Content-Encoding", "Content-Range", "Transfer-Encoding"} {
		delete(resp.Header, name)
	}
	return resp
}
