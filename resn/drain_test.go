package resn_test

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goswale/swale/resn"
)

// The tests of this file are named for what an earlier client of notices did
// wrong: its cache kept a counter for each URL, raised by events and compared
// with what was stored beside a response.

// varying has an owner's answers depend on the language.
type varying struct{ *owner }

func (v varying) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := v.owner.RoundTrip(req)
	if err == nil {
		resp.Header.Set("Vary", "Accept-Language")
	}
	return resp, err
}

// speak reads the resource in a language.
func (s *system) speak(t *testing.T, language string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, href, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept-Language", language)
	resp, err := s.client.HTTP().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The counter was shared by all variants of a URL and stored once: version 1
// cached in one, an event, version 2 fetched in the other, and version 1 was
// fresh again.
func TestDrainSharedCounterAcrossVariants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := startBehind(t, func(o *owner) http.RoundTripper { return varying{o} })
		for _, language := range []string{"en", "fr"} {
			if got := s.speak(t, language); got != "version 1" {
				t.Fatalf("%s: %q", language, got)
			}
		}
		if err := s.pub.Change(t.Context(), href, s.owner.change); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for _, language := range []string{"en", "fr", "en", "fr"} {
			if got := s.speak(t, language); got != "version 2" {
				t.Errorf("after the notice no variant returns the old version, whichever was fetched first: %s got %q", language, got)
			}
		}
	})
}

// A DELETE or a 404 removed the counter with the key, so a fetch that was in
// flight stored what it brought as fresh.
func TestDrainCounterDeletedWithTheKey(t *testing.T) {
	for _, kinds := range [][]string{{resn.Delete}, {resn.Delete, resn.Create}} {
		synctest.Test(t, func(t *testing.T) {
			s := start(t)
			hold, took := make(chan struct{}), make(chan struct{})
			s.owner.mu.Lock()
			s.owner.hold, s.owner.took = hold, took
			s.owner.mu.Unlock()
			var first sync.WaitGroup
			first.Go(func() { s.read(t.Context(), t) })
			<-took // version 1 is on its way
			s.owner.mu.Lock()
			s.owner.hold = nil
			s.owner.mu.Unlock()
			for _, kind := range kinds {
				err := s.pub.Change(t.Context(), href, func(ctx context.Context) (string, string, error) {
					_, _, err := s.owner.change(ctx)
					return kind, "", err
				})
				if err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
			}
			close(hold)
			first.Wait()
			s.want(t, body(1+len(kinds)), 2, "what was on its way when the resource was deleted is never fresh")
		})
	}
}

func body(version int) string { return "version " + strconv.Itoa(version) }

// Of two events in one millisecond the second was dropped as a repetition.
func TestDrainEqualMilliseconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t)
		now := time.Now() // stands still in the bubble, for both notices
		s.want(t, "version 1", 1, "the first read asks")
		for version := 2; version <= 3; version++ {
			if err := s.pub.Change(t.Context(), href, s.owner.change); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			s.want(t, body(version), version, "each of two notices with the same time counts")
		}
		if !time.Now().Equal(now) {
			t.Error("the notices weren't of one millisecond")
		}
	})
}

// Concurrent readers after an event each asked the owner.
func TestDrainNoSingleFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t)
		s.want(t, "version 1", 1, "the first read asks")
		if err := s.pub.Change(t.Context(), href, s.owner.change); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		hold, took := make(chan struct{}), make(chan struct{}, 100)
		s.owner.mu.Lock()
		s.owner.hold, s.owner.took = hold, took
		s.owner.mu.Unlock()
		var readers sync.WaitGroup
		for range 100 {
			readers.Go(func() {
				if got, _ := s.read(t.Context(), t); got != "version 2" {
					t.Errorf("a reader got %q", got)
				}
			})
		}
		synctest.Wait()
		close(hold)
		readers.Wait()
		if n := s.owner.count(); n != 2 {
			t.Errorf("100 readers after a notice cause one request; there were %d", n-1)
		}
	})
}

// A mark set dirty while a sweep worked on the resource was cleared when the sweep
// was done with it.
func TestDrainDirtyMarkLostDuringASweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, h, _, _ := startConsumer(t, 3, nil)
		sweeping, goOn := make(chan struct{}), make(chan struct{})
		var once atomic.Bool
		h.mu.Lock()
		h.fail = func(*resn.Change) error { // the state was fetched and isn't stored yet
			if once.CompareAndSwap(false, true) {
				close(sweeping)
				<-goOn
			}
			return nil
		}
		h.mu.Unlock()
		c.change(t, resn.Update, 1)
		<-sweeping
		c.change(t, resn.Update, 1)
		synctest.Wait()
		close(goOn)
		time.Sleep(time.Second)
		wantEqual(t, c, h, "a notice that comes while its resource is worked on isn't done with that work")
	})
}
