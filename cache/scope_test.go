package cache

import (
	"net/http"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

// A scope vouches for what was asked for while it was live, and going on to vouch is
// no gap.
func TestVouchingDuringAQuestion(t *testing.T) { // G3
	for name, before := range map[string]bool{"it began": false, "it went on": true} {
		synctest.Test(t, func(t *testing.T) {
			o := newOrigin((&versioned{version: 1, fields: []string{"Cache-Control", `max-age=0, resn="restaurants"`}}).handle)
			c := New(o, nil)
			s := c.Scope("restaurants")
			if before {
				s.Vouch(time.Now().Add(time.Minute))
			}
			gate := make(chan struct{})
			o.setGate(gate)
			done := make(chan struct{})
			go func() {
				defer close(done)
				get(t, c, testURL)
			}()
			synctest.Wait()
			s.Vouch(time.Now().Add(time.Hour))
			s.Vouch(time.Now().Add(time.Minute)) // never shortens
			close(gate)
			<-done
			time.Sleep(30 * time.Minute)
			get(t, c, testURL).expect(t, "version 1", before, "G3: "+name+" to vouch while the question was under way")
		})
	}
}

// What several scopes say together is what the slowest of them says.
func TestSeveralScopesAreAsSlowAsTheSlowest(t *testing.T) { // G3, G6
	for _, order := range []string{"orders restaurants", "restaurants orders"} {
		synctest.Test(t, func(t *testing.T) {
			d := &written{version: 1, fields: []string{"Cache-Control", `max-age=60, resn="` + order + `"`}}
			c := New(newOrigin(d.handle), nil)
			heard := func(name string) {
				c.Scope(name).Heard(time.Now())
				c.Scope(name).Heard(time.Now().Add(-time.Minute)) // never goes back
				c.Scope(name).Vouch(time.Now().Add(time.Hour))
			}
			heard("orders")
			heard("restaurants")
			time.Sleep(time.Second)
			fetch(c, newRequest(t, http.MethodPut, testURL))
			time.Sleep(time.Second)
			heard("orders")
			get(t, c, testURL)
			get(t, c, testURL).expect(t, "version 2", false, "G6: one of the topics may still have to tell of the write")
			heard("restaurants")
			get(t, c, testURL)
			get(t, c, testURL).expect(t, "version 2", true, "both have told of it")
		})
		synctest.Test(t, func(t *testing.T) {
			doc := &versioned{version: 1, fields: []string{"Cache-Control", `max-age=0, resn-lag=2, resn="` + order + `"`}}
			c := New(newOrigin(doc.handle), nil)
			c.Scope("orders").Vouch(time.Now().Add(time.Hour))
			time.Sleep(time.Minute)
			c.Scope("restaurants").Vouch(time.Now().Add(time.Hour))
			time.Sleep(time.Second)
			get(t, c, testURL)
			get(t, c, testURL).expect(t, "version 1", false, "G4: what one of them missed two seconds ago may not be in the answer")
			time.Sleep(time.Second)
			get(t, c, testURL)
			get(t, c, testURL).expect(t, "version 1", true, "now it is")
		})
	}
}

// Names that only responses use are bounded; a program's own aren't.
func TestNamedScopesAreBounded(t *testing.T) { // G7
	c := New(nil, nil)
	for i := range 2 * maxNamedScopes {
		c.scopes.get(strconv.Itoa(i), true)
	}
	if n := len(c.scopes.byName); n != maxNamedScopes {
		t.Errorf("%d scopes, want %d", n, maxNamedScopes)
	}
	if c.Scope("restaurants") == nil {
		t.Error("a program's own scope isn't one that a response has made up")
	}
}

// What may be vouched for: what comes from the owner, and is no failure.
func TestWhatIsVouchedFor(t *testing.T) { // G3, G4
	for _, tt := range []struct {
		rule   string
		status int
		fields []string
		ended  bool // before it is asked for
		hit    bool
	}{
		{"what an intermediary kept isn't", 200, []string{"Age", "1"}, false, false},
		{"but if it was asked for through it, it is the owner's", 200, []string{"Age", "1"}, true, true},
		{"what comes at once is", 200, nil, false, true},
		{"also that there is nothing", 404, nil, false, true},
		{"a failure isn't", 500, nil, false, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := New(newOrigin(func(*http.Request) *http.Response {
				return reply(tt.status, "x", append(tt.fields, "Cache-Control", `max-age=5, resn="restaurants"`)...)
			}), nil)
			c.Scope("restaurants").Vouch(time.Now().Add(time.Hour))
			if tt.ended {
				c.Invalidate(testURL)
			}
			get(t, c, testURL)
			time.Sleep(6 * time.Second)
			get(t, c, testURL).expect(t, "x", tt.hit, tt.rule)
		})
	}
}
