package storefront

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Source says where a representation came from.
type Source string

// The sources, from the one that costs nothing to the one that isn't there.
const (
	// Cached was reused without asking anybody: vouched for by the owner's
	// notices, or fresh by max-age.
	Cached Source = "cache"
	// Revalidated was stored, asked about, and confirmed by a 304.
	Revalidated Source = "revalidated"
	// Fetched came from the owner.
	Fetched Source = "fetched"
	// Stale was served although it may be out of date, because the owner
	// couldn't be asked.
	Stale Source = "stale"
	// Missing couldn't be had at all.
	Missing Source = "missing"
)

// reading is what is known about one read: where its answer came from, when
// it began, and since when nobody has confirmed a stale answer.
type reading struct {
	source  Source
	vouched bool
	asked   bool // a request was sent to the owner, or shared with others
	began   time.Time
	age     time.Duration
}

// readStatus judges a response by its Cache-Status field (RFC 9211). Members
// are listed from the one nearest the owner to the one nearest us, so the last
// is our own cache's. A response without the field came from the owner.
func readStatus(h http.Header) reading {
	r := reading{source: Fetched, asked: true}
	values := h.Values("Cache-Status")
	if len(values) == 0 {
		return r
	}
	params := statusParams(lastMember(values[len(values)-1]))
	_, hit := params["hit"]
	fwd, forwarded := params["fwd"]
	detail := strings.ToLower(params["detail"])
	if seconds, err := strconv.Atoi(h.Get("Age")); err == nil && seconds > 0 {
		r.age = time.Duration(seconds) * time.Second
	}
	switch {
	case strings.Contains(detail, "stale") || strings.Contains(detail, "error"):
		r.source, r.asked = Stale, forwarded
	case hit:
		r.source, r.asked, r.vouched = Cached, false, strings.Contains(detail, "vouched")
	case params["fwd-status"] == "304":
		r.source = Revalidated
	case forwarded && fwd == "request" && params["stored"] == "":
		r.source = Fetched
	}
	return r
}

// lastMember returns the last member of a list (RFC 9651), minding strings.
func lastMember(list string) string {
	start, quoted := 0, false
	for i := 0; i < len(list); i++ {
		switch c := list[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == ',' && !quoted:
			start = i + 1
		}
	}
	return list[start:]
}

// statusParams returns the parameters of a member; one without a value is
// "?1", true.
func statusParams(member string) map[string]string {
	params := map[string]string{}
	start, quoted, first := 0, false, true
	put := func(part string) {
		if first { // the cache's name
			first = false
			return
		}
		name, value, found := strings.Cut(strings.TrimSpace(part), "=")
		if !found {
			value = "?1"
		}
		params[strings.ToLower(name)] = strings.Trim(value, `"`)
	}
	for i := 0; i < len(member); i++ {
		switch c := member[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == ';' && !quoted:
			put(member[start:i])
			start = i + 1
		}
	}
	put(member[start:])
	return params
}
