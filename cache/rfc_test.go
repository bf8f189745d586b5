package cache

import (
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// What isn't stored may be read by somebody who needs the owner's word as much.
func TestUnstoredQuestionsGoThroughAfterANotice(t *testing.T) { // G4
	for _, own := range [][]string{{"Cache-Control", "no-store"}, {"If-Match", `"v1"`}, {"Range", "bytes=0-1"}} {
		synctest.Test(t, func(t *testing.T) {
			c, o, _, _ := live(t)
			get(t, c, testURL)
			c.Apply(Change{URL: testURL})
			get(t, c, testURL, append([]string{"If-None-Match", `"v0"`}, own...)...)
			asked := o.last().Header
			if !slices.Contains(asked["Cache-Control"], "no-cache") || asked.Get(own[0]) != own[1] || asked.Get("If-None-Match") != `"v0"` {
				t.Errorf("G4: with %v it asks %v, want the caller's own fields and no-cache", own, asked)
			}
		})
	}
}

// What was only good for who asked isn't believed by another life of the
// process.
func TestBackingRemembersDoubt(t *testing.T) { // G4
	synctest.Test(t, func(t *testing.T) {
		d := &written{version: 1, fields: []string{"Cache-Control", `max-age=3600, resn="restaurants"`}}
		b := &memoryBacking{}
		c := New(newOrigin(d.handle), &Options{Backing: b})
		c.Scope("restaurants").Vouch(time.Now().Add(time.Hour))
		fetch(c, newRequest(t, http.MethodPut, testURL))
		d.shows = 1
		get(t, c, testURL)
		synctest.Wait()
		next := New(newOrigin(d.handle), &Options{Backing: b})
		d.shows = 0
		get(t, next, testURL).expect(t, "version 2", false, "G6: a replica said it that may not have seen the write")
	})
}
