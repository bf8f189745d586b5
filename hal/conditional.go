package hal

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
	"time"
)

// ETag returns the strong validator that Write computes for v: a hash of its
// document. It depends on nothing else, so every instance of a service says
// the same.
func ETag(v any) (string, error) {
	e := encoders.Get().(*encoder)
	defer e.release()
	body, err := e.encode(v, false)
	if err != nil {
		return "", err
	}
	return hashTag(body), nil
}

func hashTag(body []byte) string {
	sum := sha256.Sum256(body)
	var tag [18]byte
	tag[0], tag[17] = '"', '"'
	base64.RawURLEncoding.Encode(tag[1:17], sum[:12])
	return string(tag[:])
}

// quoted adds the quotes that an entity tag has on the wire.
func quoted(tag string) string {
	if tag == "" || strings.HasSuffix(tag, `"`) && (tag[0] == '"' || strings.HasPrefix(tag, `W/"`)) {
		return tag
	}
	return `"` + strings.Trim(tag, `"`) + `"`
}

// variantTag is the validator of another representation of the same version:
// its own, as RFC 9110 section 8.8.3 asks of strong ones, yet recognisable, so
// that a client that read a form may write with what it read.
func variantTag(tag, variant string) string {
	return strings.TrimSuffix(tag, `"`) + "~" + variant + `"`
}

// isVersion reports whether a presented tag names the current version in any
// of its representations.
func isVersion(presented, current string) bool {
	if presented == current {
		return true
	}
	return strings.HasPrefix(presented, strings.TrimSuffix(current, `"`)+"~") && strings.HasPrefix(current, `"`)
}

// Conditions describe the current version of a resource to Check.
type Conditions struct {
	// ETag is the current strong validator, "" when the resource doesn't exist.
	// Quotes are added where they are missing, as in WriteOptions.
	ETag string
	// LastModified is consulted for If-Unmodified-Since; zero is unknown.
	LastModified time.Time
	// Require refuses unsafe requests that carry no condition with 428
	// (RFC 6585 section 3), so that nobody overwrites what they haven't seen.
	Require bool
}

// Check evaluates the conditions of a request that is about to change a
// resource (RFC 9110 section 13.2.2) and returns nil when it may go ahead, or
// a *Problem: 412 when the resource is not what the client has read, 428 when
// a condition is required. The problem carries the current ETag.
//
// Check and the write that follows aren't one step: where writers race, make
// the write itself conditional on the version too.
func Check(r *http.Request, c Conditions) error {
	status := 0
	c.ETag = quoted(c.ETag)
	match, noneMatch := r.Header.Values("If-Match"), r.Header.Values("If-None-Match")
	since := r.Header.Get("If-Unmodified-Since")
	switch {
	case len(match) > 0:
		if !anyTag(match, func(tag string) bool {
			// Strong comparison: a weak tag never matches.
			return c.ETag != "" && (tag == "*" || isVersion(tag, c.ETag) && !strings.HasPrefix(tag, "W/"))
		}) {
			status = http.StatusPreconditionFailed
		}
	case since != "" && !c.LastModified.IsZero():
		if t, err := http.ParseTime(since); err == nil && c.LastModified.Truncate(time.Second).After(t) {
			status = http.StatusPreconditionFailed
		}
	case c.Require && len(noneMatch) == 0:
		status = http.StatusPreconditionRequired
	}
	if status == 0 && anyTag(noneMatch, func(tag string) bool {
		return c.ETag != "" && (tag == "*" || isVersion(strings.TrimPrefix(tag, "W/"), strings.TrimPrefix(c.ETag, "W/")))
	}) {
		status = http.StatusPreconditionFailed
	}
	if status == 0 {
		return nil
	}
	p := NewProblem(status, "")
	switch {
	case status == http.StatusPreconditionRequired:
		p.Detail = "Send If-Match with the ETag you have read, or If-None-Match: * to create."
	case c.ETag == "":
		p.Detail = "The resource does not exist."
	case len(match) == 0 && len(noneMatch) > 0:
		p.Detail = "The resource exists already."
	default:
		p.Detail = "The resource has changed since it was read."
	}
	if c.ETag != "" {
		p.Header = http.Header{"Etag": {c.ETag}}
	}
	return p
}

// notModified reports whether a GET or HEAD is answered by 304.
func notModified(r *http.Request, tag string, modified time.Time) bool {
	if values := r.Header["If-None-Match"]; len(values) > 0 {
		tag = strings.TrimPrefix(tag, "W/")
		return anyTag(values, func(t string) bool {
			return t == "*" || strings.TrimPrefix(t, "W/") == tag // weak comparison
		})
	}
	if since := r.Header.Get("If-Modified-Since"); since != "" && !modified.IsZero() {
		t, err := http.ParseTime(since)
		return err == nil && !modified.Truncate(time.Second).After(t)
	}
	return false
}

// anyTag calls f for each entity tag of a list field until one satisfies it.
func anyTag(values []string, f func(string) bool) bool {
	for _, s := range values {
		for s != "" {
			s = strings.TrimLeft(s, " \t,")
			if strings.HasPrefix(s, "*") {
				if f("*") {
					return true
				}
				s = s[1:]
				continue
			}
			open := strings.IndexByte(s, '"')
			if open < 0 || open > 2 {
				break
			}
			end := strings.IndexByte(s[open+1:], '"')
			if end < 0 {
				break
			}
			end += open + 2
			if f(s[:end]) {
				return true
			}
			s = s[end:]
		}
	}
	return false
}
