package cache

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// heldBody ends, and is closed, when its gates say so.
type heldBody struct {
	text       io.Reader
	end, close chan struct{}
}

func (b *heldBody) Read(p []byte) (int, error) {
	n, err := b.text.Read(p)
	if err == io.EOF && b.end != nil {
		<-b.end
	}
	return n, err
}

func (b *heldBody) Close() error {
	if b.close != nil {
		<-b.close
	}
	return nil
}

// An answer that has begun to come is joined only by those whom it will satisfy.
func TestLateReaderOfWhatDoesNotLast(t *testing.T) {
	for policy, questions := range map[string]int{"no-cache": 2, "max-age=0": 2, "max-age=60": 1} {
		synctest.Test(t, func(t *testing.T) {
			end := make(chan struct{})
			o := newOrigin(func(*http.Request) *http.Response {
				resp := reply(200, "x", "Cache-Control", policy, "ETag", `"1"`)
				resp.Body = &heldBody{text: strings.NewReader("x"), end: end}
				return resp
			})
			c := New(o, nil)
			var all sync.WaitGroup
			for range 2 {
				all.Go(func() { get(t, c, testURL) })
				synctest.Wait()
			}
			if n := o.count(); n != questions {
				t.Errorf("%s: %d questions, want %d: the second reader came when the first had his header", policy, n, questions)
			}
			close(end)
			all.Wait()
		})
	}
}

// Who has read to the end and asks again doesn't get the same answer, if that
// says nothing of how long it is good.
func TestWhoHasReadToTheEndAsksAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		o := newOrigin(func(*http.Request) *http.Response {
			resp := reply(200, "x", "Cache-Control", `max-age=0, resn="r"`, "ETag", `"1"`)
			resp.Body = &heldBody{text: strings.NewReader("x"), close: gate}
			return resp
		})
		c := New(o, nil)
		get(t, c, testURL)
		go fetch(c, newRequest(t, http.MethodGet, testURL))
		synctest.Wait()
		if n := o.count(); n != 2 {
			t.Errorf("%d questions, want two", n)
		}
		close(gate)
	})
}

// A failure that selects nobody isn't the answer to all who wait.
func TestFailureThatVariesByAnything(t *testing.T) { // RFC 9111 section 4.1
	synctest.Test(t, func(t *testing.T) {
		o := newOrigin(func(*http.Request) *http.Response {
			time.Sleep(time.Second)
			return reply(503, "", "Vary", "*")
		})
		c := New(o, nil)
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() { get(t, c, testURL) })
		}
		all.Wait()
		if n := o.count(); n != 3 {
			t.Errorf("%d questions, want one for each reader", n)
		}
	})
}

// What a response says of its length makes nobody give memory for it.
func TestLengthThatNobodyHas(t *testing.T) { // G7
	c := New(newOrigin(func(*http.Request) *http.Response {
		resp := reply(200, "x", "Cache-Control", "max-age=60")
		resp.ContentLength = 1 << 60
		return resp
	}), nil)
	if f := get(t, c, testURL); f.body != "x" || strings.Contains(f.how(), "stored") {
		t.Errorf("got %q (%s), want it passed on", f.body, f.how())
	}
}

// A refresh that the origin doesn't answer is given up.
func TestRefreshIsGivenUpInTime(t *testing.T) { // G7
	synctest.Test(t, func(t *testing.T) {
		o := newOrigin(func(*http.Request) *http.Response {
			return reply(200, "x", "Cache-Control", "max-age=1, stale-while-revalidate=600")
		})
		c := New(o, nil)
		get(t, c, testURL)
		time.Sleep(2 * time.Second)
		o.setGate(make(chan struct{}))
		get(t, c, testURL).expect(t, "x", true, "it is refreshed behind its reader's back")
		synctest.Wait()
		ctx := o.last().Context()
		time.Sleep(refreshTime - time.Second)
		if ctx.Err() != nil {
			t.Errorf("given up before %v", refreshTime)
		}
		time.Sleep(2 * time.Second)
		if ctx.Err() == nil {
			t.Errorf("not given up after %v", refreshTime)
		}
	})
}

// Of a group that the cache couldn't know the answer to be in, an intermediary may
// have kept it from before the notice.
func TestGroupThatWasNoticedBefore(t *testing.T) { // G4
	o := newOrigin((&versioned{version: 1, fields: []string{"Cache-Control", "max-age=60", "Cache-Groups", `"g"`}}).handle)
	c := New(o, nil)
	c.InvalidateGroup("https://api.example", "g")
	get(t, c, testURL)
	get(t, c, testURL).expect(t, "version 1", false, "the first answer may be older than the notice")
	if got := o.last().Header.Get("Cache-Control"); got != "no-cache" {
		t.Errorf("asked with Cache-Control %q, want no-cache", got)
	}
	get(t, c, testURL).expect(t, "version 1", true, "the second is the origin's own")
}

// Who is in more groups than are listed may miss a notice.
func TestMoreGroupsThanAreListed(t *testing.T) { // G1
	for n, hit := range map[int]bool{maxGroups: true, maxGroups + 1: false} {
		var groups []string
		for i := range n {
			groups = append(groups, fmt.Sprintf(`"g%d"`, i))
		}
		c := New(newOrigin((&versioned{version: 1, fields: []string{"Cache-Control", "max-age=60", "Cache-Groups", strings.Join(groups, ", ")}}).handle), nil)
		get(t, c, testURL)
		get(t, c, testURL).expect(t, "version 1", hit, fmt.Sprintf("in %d groups", n))
	}
}
