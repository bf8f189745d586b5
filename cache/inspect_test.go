package cache

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestInspectSaysWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		doc := &versioned{version: 1, fields: []string{"Cache-Control", `max-age=10, resn="restaurants"`, "Vary", "Accept"}}
		c := New(newOrigin(doc.handle), nil)
		s := c.Scope("restaurants")
		why := func(want string) {
			t.Helper()
			r := c.Inspect(testURL)
			if len(r.Entries) != 1 || !strings.Contains(r.Entries[0].Why, want) {
				t.Errorf("Inspect says %+v, want %q", r, want)
			}
		}
		if r := c.Inspect(testURL); len(r.Entries) != 0 || r.History != "no notice on record" {
			t.Errorf("of what it doesn't know: %+v", r)
		}
		get(t, c, testURL, "Accept", "x")
		why(`fresh for another 10s; nobody vouches for scope "restaurants" now`)
		s.Vouch(time.Now().Add(time.Hour))
		why("wasn't live")
		time.Sleep(11 * time.Second)
		why("stale for 1s")
		get(t, c, testURL, "Accept", "x")
		why(`scope "restaurants" vouches for it for another 59m49s`)
		s.Reset()
		s.Vouch(time.Now().Add(time.Hour))
		why("may have missed notices")
		c.Apply(Change{URL: testURL, ETag: `"v2"`})
		why("a notice or a write came after")
		if h := c.Inspect(testURL).History; !strings.Contains(h, `has version "v2"`) {
			t.Errorf("history: %s", h)
		}
		get(t, c, testURL, "Accept", "x")
		why("may be older than the newest notice")

		rec := httptest.NewRecorder()
		c.Handler().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/?url="+testURL, nil))
		var r Report
		if err := json.Unmarshal(rec.Body.Bytes(), &r); err != nil || len(r.Entries) != 1 || r.Entries[0].ETag != `"v1"` {
			t.Errorf("handler: %v, %s", err, rec.Body)
		}
		rec = httptest.NewRecorder()
		c.Handler().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/", nil))
		var stats Stats
		if err := json.Unmarshal(rec.Body.Bytes(), &stats); err != nil || stats.Entries != 1 || stats.Notices != 1 {
			t.Errorf("handler: %v, %s", err, rec.Body)
		}
	})
}
