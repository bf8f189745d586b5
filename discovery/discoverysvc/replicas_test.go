package discoverysvc_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/membus"
	"github.com/goswale/swale/discovery/discoverysvc"
	"github.com/goswale/swale/discovery/memdiscovery"
	"github.com/goswale/swale/resn"
)

// heard is what was said on the topic "services".
type heard struct {
	mu     sync.Mutex
	marks  int
	source string   // of the last watermark
	epochs []string // in order, each as often as it begins
	hrefs  []string
}

func (h *heard) hear(e bus.Event) {
	notice, mark, err := resn.Decode("services", &e)
	if err != nil {
		return // the claim of a topic, for example
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	epoch := mark.Epoch
	if notice.Type != "" {
		epoch = notice.Epoch
		h.hrefs = append(h.hrefs, notice.Href)
	} else {
		h.marks++
		h.source = e.Source
	}
	if n := len(h.epochs); n == 0 || h.epochs[n-1] != epoch {
		h.epochs = append(h.epochs, epoch)
	}
}

// announced counts the notices of what a replica shows.
func (h *heard) announced(by string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, href := range h.hrefs {
		if strings.HasPrefix(href, by) {
			n++
		}
	}
	return n
}

func (h *heard) marked() (n int, source string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.marks, h.source
}

// TestOneReplicaAnnounces: two that announce one topic vouch for what they don't know of each other, and
// make readers revalidate for ever.
func TestOneReplicaAnnounces(t *testing.T) {
	broker, store := membus.NewBroker(), memdiscovery.NewStore()
	connect := func() *bus.Bus {
		b := broker.Connect(nil)
		t.Cleanup(func() {
			if err := b.Shutdown(context.Background()); err != nil {
				t.Error(err)
			}
		})
		return b
	}
	var h heard
	if _, err := connect().Broadcast(t.Context(), "services", bus.BroadcastHandler{Event: h.hear}, nil); err != nil {
		t.Fatal(err)
	}
	replicas := []*service{serve(t, store, discoverysvc.Options{Bus: connect()}), serve(t, store, discoverysvc.Options{Bus: connect()})}
	reg := registry(t, replicas[0].url, replicas[1].url)
	services := 0
	// registered has one service more known to all who are there.
	registered := func(replicas ...*service) {
		t.Helper()
		services++
		name := fmt.Sprint("s", services)
		if _, err := reg.Register(t.Context(), instance(name, "a", "v1"), nil); err != nil {
			t.Fatal(err)
		}
		for _, r := range replicas {
			until(t, "each replica shows "+name, func() bool { return ask(t, http.MethodGet, r.url+"/services/"+name, "").status == http.StatusOK })
		}
	}
	until(t, "changes are announced, and watermarks go on", func() bool {
		registered(replicas...)
		marks, _ := h.marked()
		return h.announced("") >= 5 && marks >= 8
	})
	_, source := h.marked()
	owner := slices.IndexFunc(replicas, func(s *service) bool { return s.url == source })
	if owner < 0 {
		t.Fatalf("the watermarks are %q's", source)
	}
	other := replicas[1-owner]
	replicas[owner].stop()
	until(t, "the other takes the topic over", func() bool {
		_, source := h.marked()
		return source == other.url
	})
	before := h.announced(other.url)
	until(t, "and announces", func() bool {
		registered(other)
		return h.announced(other.url) > before
	})
	h.mu.Lock()
	defer h.mu.Unlock()
	if returned := len(h.epochs) - len(slices.Compact(slices.Sorted(slices.Values(h.epochs)))); returned > 0 {
		t.Errorf("two replicas number one topic: an epoch that had ended went on %d times", returned)
	}
}
