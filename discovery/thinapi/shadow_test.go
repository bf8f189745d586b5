package thinapi_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goswale/swale/discovery/thinapi"
)

const shadowed = `{"rules": [{"id": "all", "route": {"service": "all"}},
	{"id": "copy", "match": {"path": "/*"}, "shadow": {"service": "next", "maxBody": 10, "timeout": "5s"}}]}`

// copies returns what the shadow's service was asked.
func copies(b *backend) []seen {
	var out []seen
	for _, s := range b.all() {
		if s.host == "next" {
			out = append(out, s)
		}
	}
	return out
}

func TestShadowGetsACopy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &backend{}
		h := open(t, b, shadowed, nil)
		got := ask(h, "POST", "/orders?x=1", "small", "Authorization", "Bearer t", "X-Forwarded-For", "1.1.1.1")
		synctest.Wait()
		all := copies(b)
		if got.status != 200 || got.body != "yes" || len(all) != 1 {
			t.Fatalf("%+v, and %d copies", got, len(all))
		}
		s := all[0]
		if s.method != "POST" || s.url != "http://next/orders?x=1" || s.body != "small" || s.header.Get("Authorization") != "Bearer t" ||
			s.header.Get("X-Shadow-Of") != "copy" || s.header.Get("X-Forwarded-For") != "192.0.2.1" || s.header.Get("X-Request-Id") != got.header.Get("X-Request-Id") {
			t.Errorf("the copy isn't one: %+v", s)
		}
		if first := b.all()[0]; first.body != "small" || first.header.Get("X-Shadow-Of") != "" {
			t.Errorf("the request itself is as without a shadow: %+v", first)
		}
		ask(h, "POST", "/orders", "this is larger than ten")
		synctest.Wait()
		if n := len(copies(b)); n != 1 {
			t.Errorf("a body over the limit isn't copied, but %d copies went out", n)
		}
		if c := h.Counts().Rules["copy"]; c.Shadowed != 1 || c.ShadowsDropped != 1 {
			t.Errorf("%+v", c)
		}
		if all := b.all(); all[len(all)-1].body != "this is larger than ten" {
			t.Error("and the request itself has it whole")
		}
	})
}

// Whatever becomes of the copy, the answer is the same and as fast.
func TestShadowNeverAffectsTheAnswer(t *testing.T) {
	for name, shadow := range map[string]func(*http.Request) (*http.Response, error){
		"fails":  func(*http.Request) (*http.Response, error) { return nil, errors.New("no") },
		"panics": func(*http.Request) (*http.Response, error) { panic("no") },
		"hangs": func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		},
		"answers 500": func(*http.Request) (*http.Response, error) {
			resp := ok()
			resp.StatusCode = 500
			return resp, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &backend{}
				b.answer = func(r *http.Request) (*http.Response, error) {
					if r.Host == "next" {
						return shadow(r)
					}
					return ok(), nil
				}
				h := open(t, b, shadowed, &thinapi.Options{MaxShadows: 3})
				began := time.Now()
				for range 10 {
					if got := ask(h, "POST", "/orders", "x"); got.status != 200 || got.body != "yes" {
						t.Fatalf("the answer became %+v", got)
					}
				}
				if took := time.Since(began); took != 0 {
					t.Errorf("the answers waited %v for their shadows", took)
				}
				synctest.Wait()
				c := h.Counts().Rules["copy"]
				if name == "hangs" && (len(copies(b)) != 3 || c.ShadowsDropped != 7) {
					t.Errorf("3 shadows may be under way at once, the others are dropped: %d went out, %+v", len(copies(b)), c)
				}
				if err := h.Close(t.Context()); err != nil {
					t.Error(err)
				}
				c = h.Counts().Rules["copy"]
				if c.Shadowed+c.ShadowsFailed+c.ShadowsDropped != 10 {
					t.Errorf("each shadow is counted: %+v", c)
				}
			})
		})
	}
}

func TestCloseEndsShadows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &backend{answer: func(r *http.Request) (*http.Response, error) {
			if r.Host == "next" {
				<-r.Context().Done()
				return nil, r.Context().Err()
			}
			return ok(), nil
		}}
		h := open(t, b, strings.Replace(shadowed, "5s", "1h", 1), nil)
		ask(h, "GET", "/", "")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := h.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close ends what doesn't end by itself, and says so: %v", err)
		}
		ask(h, "GET", "/", "")
		if c := h.Counts().Rules["copy"]; c.ShadowsDropped != 1 || c.ShadowsFailed != 1 {
			t.Errorf("after Close there are no shadows: %+v", c)
		}
	})
}
