package cache

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

func TestStaleIfDisconnected(t *testing.T) { // RFC 9111 section 4.2.4
	for control, served := range map[string]bool{
		"max-age=1":                  true,
		"max-age=1, must-revalidate": false,
		"no-cache":                   false,
	} {
		synctest.Test(t, func(t *testing.T) {
			down := false
			origin := roundTripFunc(func(req *http.Request) (*http.Response, error) {
				if down {
					return nil, errDown
				}
				return newOrigin(func(*http.Request) *http.Response { return reply(200, "x", "Cache-Control", control) }).RoundTrip(req)
			})
			c := New(origin, &Options{StaleIfDisconnected: time.Minute})
			get(t, c, testURL)
			down = true
			time.Sleep(30 * time.Second)
			if got := answers(t, c); got != served {
				t.Errorf("%s: 30 s later, with the origin out of reach, it answers: %v, want %v", control, got, served)
			}
			c.Invalidate(testURL)
			if answers(t, c) {
				t.Errorf("%s: G1: what a notice has named answers because the origin is out of reach", control)
			}
			time.Sleep(time.Minute)
			if answers(t, c) {
				t.Errorf("%s: it answers beyond StaleIfDisconnected", control)
			}
		})
	}
}

type roundTripFunc func(*http.Request) (*http.Response, error)

func (f roundTripFunc) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// answers reports whether a GET is answered.
func answers(t *testing.T, c *Transport) bool {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, testURL, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.RoundTrip(req)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return true
}
