package cache

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Report says what is stored for a URL. It is for people and their tools;
// the words may change.
type Report struct {
	URL     string        `json:"url"`     // in its normal form
	History string        `json:"history"` // what notices have said about it
	Entries []EntryReport `json:"entries"`
}

// EntryReport says what one stored response is and whether it would be reused
// for a plain request now.
type EntryReport struct {
	Key       string        `json:"key"`    // the URI with its query, and digests of what separates identities
	Vary      string        `json:"vary"`   // the request fields it answers, with their values
	Status    int           `json:"status"` // of the response
	ETag      string        `json:"etag,omitempty"`
	Scope     string        `json:"scope,omitempty"` // who vouches
	Groups    int           `json:"groups"`
	Bytes     int           `json:"bytes"` // of the body
	Age       time.Duration `json:"age"`
	TTL       time.Duration `json:"ttl"` // remaining, negative if it is over
	Reusable  bool          `json:"reusable"`
	Why       string        `json:"why"` // why it would or would not be reused, in words
	Validator string        `json:"validator,omitempty"`
}

// Inspect tells what is stored for a URL, with whatever query, variant and
// identity, and why it would or would not be reused. It looks at every entry,
// so it isn't for the path of a request.
func (t *Transport) Inspect(url string) Report {
	uri, ok := normalize(url)
	if !ok {
		return Report{URL: url, History: "not an absolute http or https URL: never cached"}
	}
	origin, path, _ := splitKey(uri)
	r := Report{URL: uri}
	now := t.nowNano()
	hash := t.ledger.resourceHash(origin, path)
	var found []*entry
	t.store.each(func(e *entry) {
		if e.res.hash == hash {
			found = append(found, e)
		}
	})
	for _, e := range found {
		r.Entries = append(r.Entries, t.report(e, now))
	}
	r.History = t.history(hash, now)
	return r
}

func (t *Transport) history(hash uint64, now int64) string {
	rec := t.ledger.peek(hash)
	switch {
	case rec == nil:
		return "no notice on record"
	case rec.last.Load() == nil && rec.base == nil:
		return "no notice since something was stored"
	case rec.last.Load() == nil:
		return "older notices have been forgotten, which counts as one"
	}
	n := rec.last.Load()
	said := "changed"
	switch {
	case n.gone:
		said = "was deleted"
	case n.etag != "":
		said = "has version " + n.etag
	}
	return fmt.Sprintf("%s ago a notice or a write said that it %s", time.Duration(now-n.at), said)
}

func (t *Transport) report(e *entry, now int64) EntryReport {
	v := t.judge(e, nil, now)
	r := EntryReport{
		Key: strings.ReplaceAll(e.key(), "\x00", " | "), Status: e.shape.status, ETag: e.etag(),
		Groups: len(e.groups()), Bytes: len(e.body()), Age: time.Duration(now - e.birth), TTL: time.Duration(e.lifetime - (now - e.birth)),
		Reusable: v.reuse,
	}
	r.Scope = e.shape.scopes.String()
	switch {
	case e.shape.hasTag:
		r.Validator = "If-None-Match: " + e.etag()
	case e.field("Last-Modified") != "":
		r.Validator = "If-Modified-Since: " + e.field("Last-Modified")
	}
	var vary []string
	i := int(e.keyLen)
	for _, name := range e.shape.vary {
		n, next := readLength(e.blob, i)
		i = next + max(n-1, 0)
		value := "absent"
		if n > 0 {
			value = fmt.Sprintf("%q", e.blob[next:i])
		}
		vary = append(vary, name+": "+value)
	}
	r.Vary = strings.Join(vary, ", ")
	r.Why = t.why(e, v, now)
	return r
}

// why puts a verdict into words.
func (t *Transport) why(e *entry, v verdict, now int64) string {
	switch t.standingOf(e) {
	case superseded:
		return "a notice or a write came after its question was sent: it must be revalidated"
	case doubted:
		return "it may be older than the newest notice (another version than the one named, a replica that lags, or an intermediary's copy): it must be revalidated through intermediaries"
	}
	ttl := time.Duration(v.ttl).Round(time.Second)
	var why string
	switch {
	case e.shape.policy.noCache:
		return "no-cache: the origin wants to be asked each time"
	case v.detail == "vouched":
		why = fmt.Sprintf("scope %q vouches for it for another %s", e.shape.scopes.String(), time.Duration(t.vouched(e, now)-now).Round(time.Second))
	case v.reuse && v.refresh:
		why = fmt.Sprintf("stale for %s, but stale-while-revalidate allows it while it is refreshed", -ttl)
	case v.reuse && e.is(markGuessed):
		why = fmt.Sprintf("fresh for another %s, by heuristic from Last-Modified", ttl)
	case v.reuse:
		why = fmt.Sprintf("fresh for another %s", ttl)
	default:
		why = fmt.Sprintf("stale for %s", -ttl)
	}
	if s := e.shape.scopes; len(s) > 0 && v.detail != "vouched" {
		why += "; " + t.whyNotVouched(e, s, now)
	}
	return why
}

func (t *Transport) whyNotVouched(e *entry, s vouchers, now int64) string {
	switch {
	case now >= s.until():
		return fmt.Sprintf("nobody vouches for scope %q now", s.String())
	case !e.is(markVouchable):
		return fmt.Sprintf("scope %q wasn't live, or not for long enough, when it was asked for", s.String())
	case s.reset() > e.stamp:
		return fmt.Sprintf("scope %q may have missed notices since it was asked for", s.String())
	}
	return "the backstop (VouchLimit) is over"
}

// Handler returns an [http.Handler] that shows [Transport.Inspect] for the
// query parameter url, and [Transport.Stats] without one, as JSON. Serve it
// where only operators reach it: it shows URLs and ETags.
func (t *Transport) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "only GET", http.StatusMethodNotAllowed)
			return
		}
		var v any = t.Stats()
		if url := r.URL.Query().Get("url"); url != "" {
			v = t.Inspect(url)
		}
		b, err := json.MarshalIndent(v, "", "  ")
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		_, _ = w.Write(append(b, '\n')) // whoever went away doesn't need it
	})
}
