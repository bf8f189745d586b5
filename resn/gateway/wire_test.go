package gateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/goswale/swale/resn/gateway"
)

func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

// patience bounds a wait for what must happen in the end, also on a machine that
// has much else to do.
const patience = 2 * time.Minute

// eventually waits on the wall clock for what nothing announces.
func (r *rig) eventually(what string, ok func() bool) {
	r.t.Helper()
	timeout := time.After(patience)
	for !ok() {
		select {
		case <-time.After(2 * time.Millisecond):
		case <-timeout:
			r.t.Fatalf("timed out waiting until %s; state %+v", what, r.g.Subscribers())
		}
	}
}

// exchange is one request of a client as it stands on the wire, and what the
// client makes of the answer.
type exchange struct {
	who, method, path, contentType, body string
	status                               int
	answer                               string // "" is an empty body, "*" any
}

// What the Ruby client 3.2 and its command rtm send, call by call: JSON by Oj,
// in the order of the hash, null for what is not given.
func TestRubyClientOnTheWire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		tokens := map[string]string{"owner": r.token("owner"), "reader": r.token("reader"), "root": root}
		const js = "application/json"
		for _, x := range []exchange{
			{"owner", "GET", "/pulse", "", "", 204, ""},
			{"owner", "POST", "/topics/widgets", js, `{"type":"create","url":"https://app.example.com/widgets/123","timestamp":null}`, 200, ""},
			{"owner", "POST", "/topics/widgets", js, `{"type":"update","url":"https://app.example.com/widgets/123","timestamp":946684800000}`, 200, ""},
			{"owner", "POST", "/topics/widgets", js, `{"type":"noop","url":"https://app.example.com/widgets/123","timestamp":null,"data":null}`, 200, ""},
			{"owner", "POST", "/topics/widgets", js, `{"type":"delete","url":"https://app.example.com/widgets/123","timestamp":9.466848e11}`, 200, ""},
			{"reader", "POST", "/subscription", js, `{"topics":["widgets","kitten"],"callback":"https://app.example.com/events","timeout":60000,"max":500}`, 204, ""},
			{"reader", "POST", "/subscription", js, `{"topics":["widgets"],"callback":"https://app.example.com/events","uuid":"hello"}`, 204, ""},
			{"reader", "GET", "/topics", js, "", 200, `[{"name":"kitten","publisher":null,"events":0},{"name":"widgets","publisher":"owner","events":4}]`},
			{"reader", "GET", "/subscriptions", js, "", 200, `[{"subscriber":"reader","callback":"https://app.example.com/events","max_events":100,"timeout":500,"topics":["widgets"],"events":{"sent":0,"queued":0,"oldest":null},"format":"routemaster","failures":0}]`},
			{"reader", "DELETE", "/subscriber/topics/widgets", "", "", 204, ""},
			{"reader", "DELETE", "/subscriber/topics/widgets", "", "", 404, "*"},
			{"reader", "DELETE", "/subscriber", "", "", 204, ""},
			{"reader", "DELETE", "/subscriber", "", "", 404, "*"},
			{"reader", "DELETE", "/topics/widgets", "", "", 403, "*"},
			{"owner", "DELETE", "/topics/widgets", "", "", 204, ""},
			{"owner", "DELETE", "/topics/widgets", "", "", 404, "*"},
			{"root", "POST", "/api_tokens", js, `{"name":"alice","token":null}`, 201, "*"},
			{"root", "POST", "/api_tokens", js, `{"name":"alice","token":"alice-0000-1111-2222"}`, 201, `{"name":"alice","token":"alice-0000-1111-2222"}`},
			{"root", "DELETE", "/api_tokens/alice-0000-1111-2222", "", "", 204, ""},
			{"root", "DELETE", "/api_tokens/foobar", "", "", 204, ""},
			{"root", "GET", "/pulse", "", "", 204, ""},
			{"owner", "GET", "/pulse/scaling", "", "", 204, ""},
		} {
			r.exchange(tokens, x)
		}
	})
}

func (r *rig) exchange(tokens map[string]string, x exchange) {
	r.t.Helper()
	header := []string{}
	if x.contentType != "" {
		header = append(header, "Content-Type", x.contentType)
	}
	a := r.call(tokens[x.who], x.method, x.path, x.body, header...)
	if a.status != x.status || x.answer != "*" && a.body != x.answer {
		r.t.Errorf("%s %s %s\n got %d %s\nwant %d %s", x.method, x.path, x.body, a.status, a.body, x.status, x.answer)
	}
}

// What the Go client sends: no media type, an empty password, the body "null"
// where there is none, and /topic in place of /topics.
func TestGoClientOnTheWire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		tokens := map[string]string{"owner": r.token("owner"), "reader": r.token("reader"), "root": root}
		for _, x := range []exchange{
			{"root", "GET", "/api_tokens", "", "null", 200, "*"},
			{"root", "POST", "/api_tokens", "", `{"name":"client"}`, 201, "*"},
			{"owner", "POST", "/topics/orders", "", `{"type":"create","url":"https://orderweb/orders/1"}`, 200, ""},
			{"owner", "POST", "/topics/orders", "", `{"type":"create","url":"https://orderweb/orders/1","timestamp":946684800000}`, 200, ""},
			{"reader", "POST", "/subscription", "", `{"topics":["orders"],"callback":"https://app.example:8080","uuid":"secret"}`, 204, ""},
			{"reader", "DELETE", "/subscriber/topics/orders", "", "null", 204, ""},
			{"reader", "DELETE", "/subscriber", "", "null", 204, ""},
			{"owner", "DELETE", "/topic/orders", "", "null", 204, ""},
			{"reader", "GET", "/topics", "", "null", 200, "[]"},
		} {
			r.exchange(tokens, x)
		}
	})
}

// The Ruby client refuses a token that isn't of this form.
func TestTokensAreWhatTheRubyClientTakes(t *testing.T) {
	r := newRig(t, nil)
	form := regexp.MustCompile(`^[a-z0-9_-]{1,64}$`)
	for _, name := range []string{"orders", "A Long Name: of a service, in Übersee, that goes on and on and on"} {
		if token := r.token(name); !form.MatchString(token) {
			t.Errorf("%s got the token %s", name, token)
		}
	}
}

// What Routemaster's own tests of its controllers expect of errors.
func TestRoutemasterErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		tokens := map[string]string{"owner": r.token("owner"), "other": r.token("other"), "root": root, "unknown": "nobody-knows-me", "none": ""}
		r.push(tokens["owner"], "widgets", "https://example.com/widgets/1")
		soon := time.Now().Add(5 * time.Second).UnixMilli()
		for _, x := range []exchange{
			{"owner", "POST", "/topics/widgets", "", `whatever`, 400, "*"},
			{"owner", "POST", "/topics/widgets", "", ``, 400, "*"},
			{"owner", "POST", "/topics/widgets", "", `[]`, 400, "*"},
			{"owner", "POST", "/topics/widgets", "", `{"type":"whatever","url":"https://example.com/widgets/123"}`, 400, "*"},
			{"owner", "POST", "/topics/widgets", "", `{"type":"create"}`, 400, "*"},
			{"owner", "POST", "/topics/widgets", "", `{"url":"https://example.com/widgets/123"}`, 400, "*"},
			{"owner", "POST", "/topics/widgets", "", `{"type":"create","url":"http://example.com/widgets/123"}`, 400, "*"},
			{"owner", "POST", "/topics/widgets", "", `{"type":"create","url":"/widgets/123"}`, 400, "*"},
			{"owner", "POST", "/topics/widgets", "", `{"type":"create","url":"https://example.com/1","timestamp":"foo"}`, 400, "*"},
			{"owner", "POST", "/topics/widgets", "", `{"type":"create","url":"https://example.com/1","timestamp":123.45}`, 400, "*"},
			{"owner", "POST", "/topics/widgets", "", fmt.Sprintf(`{"type":"create","url":"https://example.com/1","timestamp":%d}`, soon), 400, "*"},
			{"owner", "POST", "/topics/oh$my", "", `{"type":"create","url":"https://example.com/1"}`, 400, "*"},
			{"owner", "POST", "/topics/" + strings.Repeat("a", 129), "", `{"type":"create","url":"https://example.com/1"}`, 400, "*"},
			{"other", "POST", "/topics/widgets", "", `{"type":"create","url":"https://example.com/1"}`, 403, "topic claimed: another client publishes widgets"},
			{"unknown", "POST", "/topics/widgets", "", `{"type":"create","url":"https://example.com/1"}`, 401, "*"},
			{"none", "POST", "/topics/widgets", "", `{"type":"create","url":"https://example.com/1"}`, 401, "*"},
			{"root", "POST", "/topics/widgets", "", `{"type":"create","url":"https://example.com/1"}`, 401, "*"},
			{"none", "GET", "/pulse", "", "", 401, "*"},
			{"owner", "GET", "/api_tokens", "", "", 401, "*"},
			{"owner", "POST", "/subscription", "", `nonsense`, 400, "*"},
			{"owner", "POST", "/subscription", "", `{"topics":1234,"callback":"https://app.example.com/events"}`, 400, "*"},
			{"owner", "POST", "/subscription", "", `{"callback":"https://app.example.com/events"}`, 400, "need an array of topics"},
			{"owner", "POST", "/subscription", "", `{"topics":["widgets"],"callback":"http://example.com"}`, 400, "callback is not HTTPS"},
			{"owner", "POST", "/subscription", "", `{"topics":["widgets"],"callback":"https://example.com/?a=1"}`, 400, "callback has a query string"},
			{"owner", "POST", "/subscription", "", `{"topics":["widgets"]}`, 400, "*"},
			{"owner", "POST", "/subscription", "", `{"topics":["widgets"],"callback":"https://example.com","timeout":-5}`, 400, "*"},
			{"owner", "POST", "/subscription", "", `{"topics":["widgets"],"callback":"https://example.com","timeout":3600001}`, 400, "*"},
			{"owner", "POST", "/subscription", "", `{"topics":["widgets"],"callback":"https://example.com","max":0}`, 400, "*"},
			{"owner", "POST", "/subscription", "", `{"topics":["widgets"],"callback":"https://example.com","what":1}`, 400, "*"},
			{"owner", "POST", "/subscription", "", `{"topics":["grizzlis"],"callback":"https://example.com"}`, 204, ""},
			{"root", "POST", "/api_tokens", "", `{}`, 400, "*"},
			{"owner", "GET", "/nowhere", "", "", 404, "*"},
		} {
			r.exchange(tokens, x)
		}
		if a := r.call("", "GET", "/health/ping", ""); a.status != 200 || !strings.HasPrefix(a.body, `{"pong":`) {
			t.Errorf("/health/ping needs no token: %d %s", a.status, a.body)
		}
		if a := r.call("", "GET", "/topics", ""); !strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Basic ") {
			t.Error("401 comes with WWW-Authenticate: Basic")
		}
	})
}

// The bytes of a delivery: what the drain's Authenticate, RootPostOnly and Parse
// look at.
func TestDeliveryOnTheWire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(o *gateway.Options) {
			o.Streams = map[string]gateway.StreamTopic{"positions": {}}
		})
		owner, reader := r.token("owner"), r.token("reader")
		r.must(204, reader, "POST", "/subscription", `{"topics":["widgets"],"callback":"https://app.example/events","uuid":"s3cr3t"}`)
		r.must(200, owner, "POST", "/topics/widgets", `{"type":"create","url":"https://api.example/widgets/1?a=1&b=<2>","timestamp":946684800001}`)
		synctest.Wait() // events of different urls may overtake each other
		r.must(200, owner, "POST", "/topics/widgets", `{"type":"noop","url":"https://api.example/widgets/2","timestamp":946684800002}`)
		time.Sleep(time.Second)
		got := r.calls.all()
		if len(got) != 1 {
			t.Fatalf("%d deliveries", len(got))
		}
		q := got[0]
		if diff := cmp.Diff(`[{"topic":"widgets","type":"create","url":"https://api.example/widgets/1?a=1&b=<2>","t":946684800001},`+
			`{"topic":"widgets","type":"noop","url":"https://api.example/widgets/2","t":946684800002}]`, q.body); diff != "" {
			t.Errorf("body:\n%s", diff)
		}
		if got, want := q.header.Get("Authorization"), "Basic czNjcjN0Ong="; got != want { // s3cr3t:x
			t.Errorf("Authorization is %q, want %q", got, want)
		}
		if got := q.header.Get("Content-Type"); got != "application/json" {
			t.Errorf("Content-Type is %q; the drain compares it with application/json", got)
		}
		if q.method != "POST" || q.url != "https://app.example/events" {
			t.Errorf("%s %s", q.method, q.url)
		}
	})
}

// Data is for streams. Elsewhere it is refused, or dropped where that is said.
func TestDataPolicy(t *testing.T) {
	const push = `{"type":"create","url":"https://api.example/riders/1","data":{"lat":45.1882728,"lon":5.723756}}`
	open := func(t *testing.T, policy gateway.DataPolicy) (r *rig, owner string) {
		t.Helper()
		r = newRig(t, func(o *gateway.Options) {
			o.Data = policy
			o.Streams = map[string]gateway.StreamTopic{"positions": {MaxBytes: 64, MaxAge: time.Minute}}
		})
		r.must(204, r.token("reader"), "POST", "/subscription", `{"topics":["riders","positions"],"callback":"https://app.example/","uuid":"u"}`)
		return r, r.token("owner")
	}
	t.Run("refused", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r, owner := open(t, gateway.DataRefused)
			if a := r.must(400, owner, "POST", "/topics/riders", push); !strings.Contains(a.body, "carries no data") {
				t.Errorf("the answer doesn't say why: %q", a.body)
			}
			time.Sleep(time.Minute)
			if got := r.calls.all(); len(got) != 0 {
				t.Errorf("an event that was refused was delivered: %s", got[0].body)
			}
		})
	})
	t.Run("dropped", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r, owner := open(t, gateway.DataDropped)
			r.must(200, owner, "POST", "/topics/riders", push)
			time.Sleep(time.Minute)
			if got := r.calls.all(); len(got) != 1 || strings.Contains(got[0].body, "lat") {
				t.Errorf("the event comes without its data: %v", got)
			}
			if s := r.g.Stats(); s.DataDropped != 1 {
				t.Errorf("counted %d", s.DataDropped)
			}
		})
	})
	t.Run("stream", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r, owner := open(t, gateway.DataRefused)
			r.must(200, owner, "POST", "/topics/positions", push)
			r.must(400, owner, "POST", "/topics/positions", `{"type":"create","url":"https://a.example/1","data":"`+strings.Repeat("x", 10)+`"}`)
			r.must(400, owner, "POST", "/topics/positions", `{"type":"create","url":"https://a.example/1","data":{"x":"`+strings.Repeat("x", 64)+`"}}`)
			time.Sleep(time.Second)
			got := r.calls.all()
			if len(got) != 1 {
				t.Fatalf("%d deliveries", len(got))
			}
			var batch []struct{ Data struct{ Lat, Lon float64 } }
			if err := json.Unmarshal([]byte(got[0].body), &batch); err != nil || len(batch) != 1 || batch[0].Data.Lat != 45.1882728 {
				t.Errorf("%s: %v", got[0].body, err)
			}
			// What is too old when its turn comes is skipped.
			r.calls.set(down)
			r.must(200, owner, "POST", "/topics/positions", push)
			time.Sleep(time.Second)
			for i := range 300 { // more than are held at once
				r.must(200, owner, "POST", "/topics/positions", strings.Replace(push, "riders/1", fmt.Sprintf("riders/x%d", i), 1))
			}
			time.Sleep(2 * time.Hour)
			r.calls.set(nil)
			time.Sleep(time.Hour)
			if s := r.g.Stats(); s.Skipped < 100 {
				t.Errorf("%d events were skipped as too old", s.Skipped)
			}
		})
	})
}

// Options.Authorize has the last word.
func TestAuthorize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(o *gateway.Options) {
			o.Authorize = func(_ context.Context, c gateway.Token, action gateway.Action, topic string) error {
				if c.Name == "owner" && action == gateway.Publish || c.Name == "reader" && action == gateway.Subscribe && topic == "widgets" {
					return nil
				}
				return errors.New("not in the book of rights")
			}
		})
		tokens := map[string]string{"owner": r.token("owner"), "reader": r.token("reader")}
		const event = `{"type":"create","url":"https://api.example/1"}`
		const ce = `{"specversion":"1.0","id":"1","source":"/w","type":"resn.update","subject":"https://a.example/1"}`
		for _, x := range []exchange{
			{"owner", "POST", "/topics/widgets", "", event, 200, ""},
			{"reader", "POST", "/topics/others", "", event, 403, "this client may not publish others"},
			{"reader", "POST", "/events/others", "application/cloudevents+json", ce, 403, "*"},
			{"reader", "POST", "/subscription", "", `{"topics":["widgets"],"callback":"https://app.example/"}`, 204, ""},
			{"reader", "POST", "/subscription", "", `{"topics":["widgets","secrets"],"callback":"https://app.example/"}`, 403, "this client may not subscribe secrets"},
			{"owner", "POST", "/subscription", "", `{"topics":["widgets"],"callback":"https://app.example/"}`, 403, "*"},
			{"owner", "GET", "/topics", "", "", 200, `[{"name":"widgets","publisher":"owner","events":1}]`},
		} {
			r.exchange(tokens, x)
		}
	})
}

// Ownership: the first publisher, until the topic is deleted or the token
// revoked.
func TestTopicOwnership(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		first, second := r.token("first"), r.token("second")
		const event = `{"type":"create","url":"https://api.example/1"}`
		r.must(200, first, "POST", "/topics/widgets", event)
		r.must(403, second, "POST", "/topics/widgets", event)
		r.must(204, root, "DELETE", "/topics/widgets", "")
		r.must(200, second, "POST", "/topics/widgets", event)
		r.must(403, first, "POST", "/topics/widgets", event)
		r.must(204, root, "DELETE", "/api_tokens/"+second, "")
		r.must(401, second, "POST", "/topics/widgets", event)
		r.must(200, first, "POST", "/topics/widgets", event)
		// A bad event claims nothing.
		r.must(400, first, "POST", "/topics/gadgets", `{"type":"?","url":"https://api.example/1"}`)
		r.must(200, r.token("third"), "POST", "/topics/gadgets", event)
	})
}
