package cache_test

// What a client may be given of a record: conditions and ranges of RFC 9110
// sections 13 and 14, and the fields of RFC 9111 sections 3.1 to 4.3.2. See
// oracle_test.go.

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// answer is what a client got.
type answer struct {
	status     int
	header     http.Header
	body       string
	err        error // of the request
	readErr    error // of the body
	whole      bool  // the body was read to its end
	length     int64 // what the response said
	start, end time.Time
	startedAt  int
	endedAt    int
}

// differs says how an answer differs from every one that a record allows, or
// nothing if it doesn't. validated says that the origin has just confirmed it.
func (r *record) differs(a *answer, method string, asked http.Header, validated bool) string {
	why := r.wrongStatus(a, method, asked)
	if why == "" {
		why = r.wrongFields(a, validated)
	}
	return why
}

// wrongStatus is RFC 9110 section 13.2.2: If-None-Match, If-Modified-Since,
// then Range.
func (r *record) wrongStatus(a *answer, method string, asked http.Header) string {
	full := func(why string) string {
		if a.status != r.status {
			return fmt.Sprintf("status %d, want %d: %s", a.status, r.status, why)
		}
		return r.wrongBody(a, method, r.body)
	}
	if r.status < 200 || r.status > 299 {
		return full("conditions and ranges are about success only (RFC 9110 section 13.2.1)")
	}
	notModified, why := false, "the condition is true"
	tags, since := asked.Values("If-None-Match"), asked.Values("If-Modified-Since")
	if len(tags) > 0 {
		notModified, why = tagged(tags, r.header.Get("Etag")), "If-None-Match (section 13.1.2)"
	} else if at, ok := dateField(asked, "If-Modified-Since"); ok && len(since) == 1 {
		// Section 4.3.2 of RFC 9111: without Last-Modified Date counts. What
		// either says if it is no date nobody knows: both answers will do.
		modified, ok := dateField(r.header, "Last-Modified")
		known := ok
		if !ok {
			_, dated := dateField(r.header, "Date")
			modified, known = r.date().Truncate(time.Second), len(r.header["Last-Modified"]) == 0 && dated == (len(r.header["Date"]) > 0)
		}
		notModified, why = !modified.After(at) && (known || a.status == http.StatusNotModified), "If-Modified-Since (section 13.1.3)"
	}
	if notModified {
		if a.status != http.StatusNotModified || a.body != "" {
			return fmt.Sprintf("status %d, want 304: %s", a.status, why)
		}
		return ""
	}
	if method != http.MethodGet || r.status != http.StatusOK || len(asked.Values("Range")) == 0 {
		return full(why)
	}
	// A server may always ignore Range (section 14.2).
	if a.status == r.status {
		return full(why)
	}
	if condition := asked.Get("If-Range"); condition != "" && !strongly(condition, r.header.Get("Etag")) {
		modified, ok := dateField(r.header, "Last-Modified")
		if at, valid := dateIn(condition); !ok || !valid || !modified.Equal(at) || r.date().Sub(modified) < time.Second {
			return full("If-Range (section 13.1.5) isn't true")
		}
	}
	return r.wrongRange(a, asked.Get("Range"))
}

// wrongRange is section 14.1.2 for one range, which is all that is sliced.
func (r *record) wrongRange(a *answer, ranges string) string {
	spec, isBytes := strings.CutPrefix(ranges, "bytes=")
	first, last, isRange := strings.Cut(spec, "-")
	from, err1 := strconv.Atoi(first)
	to, err2 := strconv.Atoi(last)
	size := len(r.body)
	switch {
	case !isBytes || !isRange || strings.Contains(spec, ","):
		return fmt.Sprintf("status %d for Range: %s, want %d", a.status, ranges, r.status)
	case first == "" && err2 == nil:
		from, to = max(0, size-to), size-1
		if last == "0" {
			from = size
		}
	case err1 == nil && last == "":
		to = size - 1
	case err1 != nil || err2 != nil || to < from:
		return fmt.Sprintf("status %d for the invalid Range: %s, want %d", a.status, ranges, r.status)
	}
	to = min(to, size-1)
	if from >= size {
		if want := fmt.Sprintf("bytes */%d", size); a.status != http.StatusRequestedRangeNotSatisfiable || a.header.Get("Content-Range") != want {
			return fmt.Sprintf("status %d with Content-Range %q, want 416 with %q", a.status, a.header.Get("Content-Range"), want)
		}
		return ""
	}
	if want := fmt.Sprintf("bytes %d-%d/%d", from, to, size); a.status != http.StatusPartialContent || a.header.Get("Content-Range") != want {
		return fmt.Sprintf("status %d with Content-Range %q, want 206 with %q", a.status, a.header.Get("Content-Range"), want)
	}
	return r.wrongBody(a, http.MethodGet, r.body[from:to+1])
}

func (r *record) wrongBody(a *answer, method, want string) string {
	length, hasLength := len(want), len(a.header.Values("Content-Length")) > 0
	if method == http.MethodHead {
		want = ""
	}
	switch {
	case a.whole && a.body != want || !a.whole && !strings.HasPrefix(want, a.body):
		return fmt.Sprintf("body %q of %d bytes, want %q of %d", short(a.body), len(a.body), short(want), len(want))
	case a.readErr != nil:
		return fmt.Sprintf("reading the body: %v", a.readErr)
	case hasLength && a.header.Get("Content-Length") != strconv.Itoa(length):
		return fmt.Sprintf("Content-Length %q, want %d", a.header["Content-Length"], length)
	case a.length >= 0 && a.length != int64(length):
		return fmt.Sprintf("ContentLength %d, want %d", a.length, length)
	}
	return ""
}

// about are the fields of a 304 (RFC 9110 section 15.4.5).
var about = []string{"Cache-Control", "Content-Location", "Etag", "Expires", "Vary"}

// wrongFields compares what the response says with what is stored (RFC 9111
// section 3.2) and its age (sections 4.2.3 and 5.1).
func (r *record) wrongFields(a *answer, validated bool) string {
	gone := unstored(r.header)
	// Section 5.2.2.4: what no-cache names may be left out instead of validated,
	// so a cache need not even store it.
	named := directivesOf(r.header).named("no-cache")
	for _, name := range named {
		gone[name] = gone[name] || !validated
	}
	young, _ := r.age(a.start)
	_, old := r.age(a.end)
	least, most := int64(young/time.Second), int64(old/time.Second)
	if got := a.header.Get("Age"); got != "" || !validated {
		if n, err := strconv.ParseInt(got, 10, 64); err != nil || n < least || n > most || len(a.header["Age"]) != 1 {
			return fmt.Sprintf("Age %q, want %d to %d", a.header["Age"], least, most)
		}
	}
	// The length and the part are the answer's own; section 3.2 allows to keep
	// what says how the stored bytes are coded.
	own := []string{"Age", "Cache-Status", "Content-Length", "Content-Range"}
	for name, want := range r.header {
		got := a.header.Values(name)
		switch {
		case slices.Contains(own, name) || name == "Date" && len(want) != 1:
		case gone[name]:
			if len(got) > 0 && !validated {
				return fmt.Sprintf("%s: %q is not to be stored (section 3.1), or not to be reused (no-cache=)", name, got)
			}
		case (slices.Contains(named, name) || slices.Contains(r.lacks, name)) && len(got) == 0:
		case a.status == http.StatusNotModified && !slices.Contains(about, name) && len(got) == 0:
		case a.status == http.StatusRequestedRangeNotSatisfiable && strings.HasPrefix(name, "Content-") && len(got) == 0:
		case name == "Content-Encoding" && r.before != nil && slices.Equal(got, r.before[name]):
			// Section 3.2: may be left as it was, for the bytes are.
		case name == "Etag" && r.before != nil && weakly(strings.Join(got, ""), r.header.Get(name)):
			// A 304 may say W/"1" of "1"; the stored bytes still are "1"'s.
		case !slices.Equal(got, want):
			return fmt.Sprintf("%s: %q, want %q", name, got, want)
		}
	}
	for name, got := range a.header {
		if _, known := r.header[name]; !known && !slices.Contains(own, name) && name != "Date" && !gone[name] {
			return fmt.Sprintf("%s: %q comes from nowhere", name, got)
		}
	}
	return ""
}

// status is the last member of Cache-Status (RFC 9211): what the cache itself
// says of how the answer came about.
type status map[string]string

func statusOf(h http.Header) status {
	members := membersOf(h.Values("Cache-Status"))
	if len(members) == 0 {
		return nil
	}
	s := status{}
	for i, p := range strings.Split(members[len(members)-1], ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(p), "=")
		if i == 0 {
			name, value = "cache", name
		}
		s[name] = value
	}
	return s
}

func (s status) has(name string) bool { _, ok := s[name]; return ok }
