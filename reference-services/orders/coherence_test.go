package orders_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/hal"
	"github.com/goswale/swale/reference-services/internal/owner/ownertest"
	"github.com/goswale/swale/reference-services/orders"
	"github.com/goswale/swale/resn"
)

// reader is a coherent client, and what it asked and heard.
type reader struct {
	*hal.Client
	client *resn.Client
	asked  atomic.Int64
	heard  chan resn.Event
}

func (r *reader) RoundTrip(req *http.Request) (*http.Response, error) {
	r.asked.Add(1)
	return http.DefaultTransport.RoundTrip(req)
}

func newReader(t *testing.T, b *bus.Bus) *reader {
	t.Helper()
	r := &reader{heard: make(chan resn.Event, 100)}
	var err error
	r.client, err = resn.NewClient(b, &resn.ClientOptions{
		Transport: r, Listener: &resn.ListenerOptions{OnNotice: func(e resn.Event) { r.heard <- e }},
	})
	if err != nil {
		t.Fatal(err)
	}
	r.Client = hal.NewClient(&hal.ClientOptions{HTTP: r.client.HTTP()})
	t.Cleanup(func() {
		if err := r.client.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	return r
}

// open reads the list of open orders, from the root on.
func (r *reader) open(t *testing.T, base string) []string {
	t.Helper()
	root, err := hal.Get[hal.Any](t.Context(), r.Client, base+"/")
	if err != nil {
		t.Fatal(err)
	}
	list, err := hal.Follow[hal.Any](t.Context(), r.Client, root, "orders-open")
	if err != nil {
		t.Fatal(err)
	}
	var hrefs []string
	for _, link := range list.Links().All("item") {
		hrefs = append(hrefs, link.Href)
	}
	return hrefs
}

// hears waits until the reader has heard of a version.
func (r *reader) hears(t *testing.T, tag string) {
	t.Helper()
	late := time.After(ownertest.Patience)
	for {
		select {
		case e := <-r.heard:
			if e.ETag == tag {
				return
			}
		case <-late:
			t.Fatalf("nobody hears of %s", tag)
		}
	}
}

// live waits until the topic vouches for what the reader has.
func (r *reader) live(t *testing.T) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	late := time.After(ownertest.Patience)
	for {
		if topics := r.client.Topics(); len(topics) == 1 && topics[0].Live {
			return
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("the topic isn't live: %+v", r.client.Topics())
		}
	}
}

func TestTheListOfOpenOrdersIsCoherent(t *testing.T) {
	a := ownertest.Start(t, orders.Topic, open)
	r := newReader(t, a.Bus)
	first, _ := place(t, a, "placed")
	r.open(t, a.URL) // names the topic
	r.live(t)
	if got := r.open(t, a.URL); !slices.Equal(got, []string{first}) {
		t.Fatalf("the open orders are %q", got)
	}
	url, tag := a.Make(t, "/orders", dumplings)
	r.hears(t, tag)
	for _, step := range []string{"", "accept", "assign", "ready", "collect", "deliver"} {
		if step != "" {
			tag = do(t, a, url, step, tag).Header.Get("Etag")
			r.hears(t, tag)
		}
		want := []string{first, url}
		if step == "deliver" {
			want = want[:1]
		}
		if got := r.open(t, a.URL); !slices.Equal(got, want) {
			t.Errorf("after %q the open orders are\n%q\nwant\n%q", step, got, want)
		}
		read, err := hal.Get[orders.Order](t.Context(), r.Client, url)
		if err != nil || read.ETag != tag {
			t.Errorf("after the notice of %s, %q is read as %s: %v", tag, step, read.ETag, err)
		}
		r.fromCache(t, a.URL)
	}
}

// fromCache waits for a moment in which the list costs nothing: on a machine so
// busy that watermarks are late there are others.
func (r *reader) fromCache(t *testing.T, base string) {
	t.Helper()
	for late := time.After(ownertest.Patience); ; {
		asked := r.asked.Load()
		if r.open(t, base); r.asked.Load() == asked {
			return
		}
		select {
		case <-late:
			t.Fatal("the list is asked for though nothing changed")
		default:
		}
	}
}

// Who changes an order sees it in the lists at once, though nobody has told it yet.
func TestAWriterSeesItsOwnChange(t *testing.T) {
	a := ownertest.Start(t, orders.Topic, open)
	url, _ := place(t, a, "ready with rider")
	w := newReader(t, nil)
	if got := w.open(t, a.URL); !slices.Equal(got, []string{url}) {
		t.Fatalf("the open orders are %q", got)
	}
	read, err := hal.Get[orders.Order](t.Context(), w.Client, url)
	if err != nil {
		t.Fatal(err)
	}
	cancelled, err := hal.PostTo[orders.Order](t.Context(), w.With(http.Header{"If-Match": {read.ETag}}), read, "cancel", struct{}{})
	if err != nil || cancelled.URL != url {
		t.Fatalf("%+v, %v", cancelled, err)
	}
	if got := w.open(t, a.URL); len(got) > 0 {
		t.Errorf("the open orders are still %q", got)
	}
	if read, err := hal.Get[orders.Order](t.Context(), w.Client, url); err != nil || read.ETag != cancelled.ETag || strings.HasPrefix(read.Value.Status, "ready") {
		t.Errorf("it reads %+v, %v; want %s", read.Value, err, cancelled.ETag)
	}
}
