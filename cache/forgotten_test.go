package cache

import (
	"net/http"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

// A cache that hears of more than it can remember still shares what it fetches:
// only an own write that was forgotten could be one of a document that a replica
// doesn't show yet.
func TestForgettingWhatOthersChangedKeepsAnswersShared(t *testing.T) {
	for name, fields := range map[string][]string{
		"resource": {"Cache-Control", `max-age=60, resn="docs"`, "ETag", `"1"`},
		"group":    {"Cache-Control", `max-age=60, resn="docs"`, "ETag", `"1"`, "Cache-Groups", `"list"`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := New(newOrigin(func(*http.Request) *http.Response {
					return reply(200, "a document", fields...)
				}), &Options{MaxRecords: 1})
				c.Scope("docs").Vouch(time.Now().Add(time.Hour))
				forget(c)
				get(t, c, testURL).expect(t, "a document", false, "the first one")
				forget(c)
				get(t, c, testURL).expect(t, "a document", true, "nothing was said of it")
			})
		})
	}
}

// An own write that was forgotten counts for whatever it may have been about.
func TestAForgottenOwnWriteCounts(t *testing.T) { // G6
	for name, fields := range map[string][]string{
		"resource": {"Cache-Control", `max-age=60, resn="restaurants"`},
		"group":    {"Cache-Control", `max-age=60, resn="restaurants"`, "Cache-Groups", `"/restaurants/203"`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &written{version: 1, fields: fields}
				c := New(newOrigin(d.handle), &Options{MaxRecords: 1})
				s := c.Scope("restaurants")
				s.Heard(time.Now())
				s.Vouch(time.Now().Add(time.Hour))
				time.Sleep(time.Second)
				fetch(c, newRequest(t, http.MethodPut, testURL))
				forget(c)
				url := testURL
				if name == "group" {
					url = "https://api.example/orders/9" // it embeds what was written
				}
				d.shows = 1
				get(t, c, url).expect(t, "version 1", false, "the replica hasn't seen the write")
				d.shows = 0
				get(t, c, url).expect(t, "version 2", false, "G6: what was asked for after an own write came from a replica")
			})
		})
	}
}

// forget makes c hear of so much else that it has forgotten all before it.
func forget(c *Transport) {
	for i := range 2000 {
		c.Apply(Change{URL: "https://api.example/other/" + strconv.Itoa(i), Scope: "others"})
	}
}

// What can't be validated and is in a group that a notice was about is asked for
// once more, through intermediaries, and kept then.
func TestAGroupIsLearnedWithoutAValidator(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOrigin(func(*http.Request) *http.Response {
			return reply(200, "a list", "Cache-Control", `max-age=60, resn="docs"`, "Cache-Groups", `"docs"`)
		})
		c := New(o, nil)
		c.Scope("docs").Vouch(time.Now().Add(time.Hour))
		c.Apply(Change{URL: "https://api.example/docs/1", Scope: "docs"})
		get(t, c, testURL).expect(t, "a list", false, "the first one")
		get(t, c, testURL).expect(t, "a list", false, "an intermediary might have kept it from before the notice")
		get(t, c, testURL).expect(t, "a list", true, "this one is the owner's own")
	})
}
