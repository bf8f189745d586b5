package gateway_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/client"
	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/protocol"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"github.com/google/go-cmp/cmp"

	"github.com/goswale/swale/resn/gateway"
)

// sdkEvent is a notice as the SDK makes it.
func sdkEvent(id string) event.Event {
	e := event.New()
	e.SetID(id)
	e.SetSource("/restaurants")
	e.SetType("resn.update")
	e.SetSubject("https://api.example/restaurants/" + id)
	e.SetTime(time.UnixMilli(946684800000).UTC())
	e.SetExtension("etag", `"v7"`)
	e.SetExtension("comment", "50% off")
	return e
}

// sdkTarget is a callback made with the SDK.
type sdkTarget struct {
	*httptest.Server
	mu     sync.Mutex
	events []event.Event
	modes  []binding.Encoding
	auth   []string
}

func newSDKTarget(t *testing.T) *sdkTarget {
	t.Helper()
	target := &sdkTarget{}
	// The handshake is the SDK's as well.
	p, err := cehttp.New(cehttp.WithDefaultOptionsHandlerFunc([]string{http.MethodPost, http.MethodOptions}, 6000, []string{"gateway.example"}, true))
	if err != nil {
		t.Fatal(err)
	}
	target.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodOptions {
			p.OptionsHandlerFn(w, r)
			return
		}
		m := cehttp.NewMessageFromHttpRequest(r)
		var got []event.Event
		var err error
		if m.ReadEncoding() == binding.EncodingBatch {
			got, err = binding.ToEvents(r.Context(), m, r.Body)
		} else {
			var one *event.Event
			if one, err = binding.ToEvent(r.Context(), m); err == nil {
				got = []event.Event{*one}
			}
		}
		if err != nil {
			t.Errorf("the SDK can't read the request: %v", err)
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		target.mu.Lock()
		defer target.mu.Unlock()
		target.events = append(target.events, got...)
		target.modes = append(target.modes, m.ReadEncoding())
		target.auth = append(target.auth, r.Header.Get("Authorization"))
	}))
	t.Cleanup(target.Close)
	return target
}

// What the SDK sends, in binary and structured mode and as a batch, goes through
// the gateway and the bus to what the SDK receives, in each of the three modes.
func TestCloudEventsSDKBothWays(t *testing.T) {
	for format, mode := range map[gateway.Format]binding.Encoding{
		gateway.CloudEventsBinary: binding.EncodingBinary, gateway.CloudEventsStructured: binding.EncodingStructured, gateway.CloudEventsBatch: binding.EncodingBatch,
	} {
		t.Run(string(format), func(t *testing.T) {
			r := newRig(t, func(o *gateway.Options) {
				o.Callbacks.Transport = nil
				o.Callbacks.AllowHTTP = true
				o.Callbacks.Networks = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
				o.Origin = "gateway.example"
			})
			target := newSDKTarget(t)
			door := httptest.NewServer(r.g)
			defer door.Close()
			owner, reader := r.token("owner"), r.token("reader")
			r.must(204, reader, "POST", "/subscription", `{"topics":["restaurants"],"callback":"`+target.URL+`","uuid":"secret","timeout":5,"format":"`+string(format)+`"}`)

			sendBySDK(t, door.URL+"/events/restaurants", owner)
			r.eventually("all three arrived", func() bool {
				target.mu.Lock()
				defer target.mu.Unlock()
				return len(target.events) == 3
			})
			target.mu.Lock()
			defer target.mu.Unlock()
			got := map[string]event.Event{}
			for _, e := range target.events {
				got[e.ID()] = e
			}
			for _, id := range []string{"binary", "structured", "batch"} {
				want := sdkEvent(id)
				have := got[id]
				if have.Subject() != want.Subject() || have.Type() != want.Type() || have.Source() != want.Source() || !have.Time().Equal(want.Time()) {
					t.Errorf("attributes changed on the way:\n got %v\nwant %v", have, want)
				}
				if mode == binding.EncodingBinary {
					// The SDK doesn't decode what the binding has senders encode.
					for name, value := range have.Extensions() {
						decoded, err := url.PathUnescape(value.(string))
						if err != nil {
							t.Errorf("extension %s is %v, which isn't percent-encoded", name, value)
						}
						have.SetExtension(name, decoded)
					}
				}
				if diff := cmp.Diff(want.Extensions(), have.Extensions()); diff != "" {
					t.Errorf("extensions of %s changed on the way:\n%s", id, diff)
				}
			}
			for i, m := range target.modes {
				if m != mode || target.auth[i] != "Bearer secret" {
					t.Errorf("request %d came in mode %v with %q", i, m, target.auth[i])
				}
			}
		})
	}
}

// sendBySDK sends an event in each mode.
func sendBySDK(t *testing.T, url, token string) {
	t.Helper()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	p, err := cehttp.New(cehttp.WithTarget(url), cehttp.WithRoundTripper(bearer{transport, token}))
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.New(p)
	if err != nil {
		t.Fatal(err)
	}
	for id, ctx := range map[string]context.Context{
		"binary": binding.WithForceBinary(t.Context()), "structured": binding.WithForceStructured(t.Context()),
	} {
		if res := c.Send(ctx, sdkEvent(id)); !protocol.IsACK(res) {
			t.Fatalf("the SDK sent %s and got %v", id, res)
		}
	}
	req, err := cehttp.NewHTTPRequestFromEvents(t.Context(), url, []event.Event{sdkEvent("batch")})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := bearer{transport, token}.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != 204 {
		t.Fatalf("the SDK's batch is answered %d", resp.StatusCode)
	}
}

// bearer adds a token.
type bearer struct {
	next  http.RoundTripper
	token string
}

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r.Header.Set("Authorization", "Bearer "+b.token)
	return b.next.RoundTrip(r)
}

// Routemaster clients and CloudEvents clients meet on the same topics.
func TestCloudEventsMeetRoutemaster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		owner, old, fresh := r.token("owner"), r.token("old"), r.token("new")
		r.calls.set(func(q request) (reply, error) {
			return says(204, "WebHook-Allowed-Origin", "*"), nil
		})
		r.must(204, old, "POST", "/subscription", `{"topics":["widgets"],"callback":"https://old.example/","uuid":"u"}`)
		r.must(204, fresh, "POST", "/subscription", `{"topics":["widgets"],"callback":"https://new.example/","format":"cloudevents-batch"}`)
		r.must(200, owner, "POST", "/topics/widgets", `{"type":"create","url":"https://api.example/widgets/1","timestamp":946684800000}`)
		r.must(204, owner, "POST", "/events/widgets", `{"specversion":"1.0","id":"7","source":"/w","type":"resn.delete","subject":"https://api.example/widgets/2","time":"2000-01-01T00:00:00Z"}`,
			"Content-Type", "application/cloudevents+json")
		time.Sleep(time.Second)
		for _, q := range r.calls.all() {
			switch {
			case q.method == "OPTIONS":
				if q.header.Get("WebHook-Request-Origin") != "gateway" {
					t.Errorf("the handshake names its origin: %v", q.header)
				}
			case q.url == "https://old.example/":
				if diff := cmp.Diff(`[{"topic":"widgets","type":"create","url":"https://api.example/widgets/1","t":946684800000},{"topic":"widgets","type":"delete","url":"https://api.example/widgets/2","t":946684800000}]`, q.body); diff != "" {
					t.Error(diff)
				}
			default:
				var batch []map[string]any
				if err := json.Unmarshal([]byte(q.body), &batch); err != nil || len(batch) != 2 || batch[0]["type"] != "resn.create" || batch[1]["id"] != "7" {
					t.Errorf("%s: %v", q.body, err)
				}
			}
		}
		if n := len(r.calls.all()); n != 3 {
			t.Errorf("%d requests: one handshake and two batches are needed", n)
		}
	})
}

// The handshake: without consent there is no subscription, and the rate that is
// granted is kept.
func TestWebhookHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		owner, reader := r.token("owner"), r.token("reader")
		const ask = `{"topics":["widgets"],"callback":"https://app.example/","format":"cloudevents-structured","timeout":0}`
		for name, answer := range map[string]reply{
			"nothing":        says(200),
			"another origin": says(200, "WebHook-Allowed-Origin", "elsewhere.example"),
			"refusal":        says(405, "WebHook-Allowed-Origin", "*"),
			"bad rate":       says(200, "WebHook-Allowed-Origin", "*", "WebHook-Allowed-Rate", "much"),
			"no rate":        says(200, "WebHook-Allowed-Origin", "*", "WebHook-Allowed-Rate", "0"),
		} {
			r.calls.set(func(request) (reply, error) { return answer, nil })
			if a := r.call(reader, "POST", "/subscription", ask); a.status != 400 {
				t.Errorf("a handshake that ends with %s is answered %d", name, a.status)
			}
		}
		r.calls.set(always(200, "WebHook-Allowed-Origin", "gateway", "WebHook-Allowed-Rate", "60"))
		r.must(204, reader, "POST", "/subscription", ask)
		before := len(r.calls.all())
		for range 30 {
			r.push(owner, "widgets", "https://api.example/widgets/1")
		}
		time.Sleep(10*time.Second + 500*time.Millisecond)
		if n := len(r.calls.all()) - before; n < 9 || n > 11 {
			t.Errorf("%d requests in 10 s; 60 a minute are allowed", n)
		}
	})
}

// 410 from a CloudEvents callback ends deliveries until somebody subscribes
// anew; the queue is kept.
func TestGonePauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		owner, reader := r.token("owner"), r.token("reader")
		consent := []string{"WebHook-Allowed-Origin", "*"}
		r.calls.set(always(204, consent...))
		const ask = `{"topics":["widgets"],"callback":"https://app.example/","format":"cloudevents-batch"}`
		r.must(204, reader, "POST", "/subscription", ask)
		r.calls.set(always(410))
		r.push(owner, "widgets", "https://api.example/widgets/1")
		time.Sleep(time.Minute)
		n := len(r.calls.all())
		r.push(owner, "widgets", "https://api.example/widgets/2")
		time.Sleep(24 * time.Hour)
		if more := len(r.calls.all()) - n; more != 0 || n > 2 {
			t.Errorf("after 410 it was asked %d times more, %d in the first minute", more, n)
		}
		if a := r.must(200, reader, "GET", "/subscriptions", ""); !strings.Contains(a.body, `"paused":"the callback refused: answer 410"`) {
			t.Errorf("the list says so: %s", a.body)
		}
		r.calls.set(always(204, consent...))
		r.must(204, reader, "POST", "/subscription", ask)
		time.Sleep(10 * time.Minute)
		if s := r.g.Stats(); s.Delivered != 2 {
			t.Errorf("after subscribing anew %d of 2 are delivered", s.Delivered)
		}
	})
}

// What isn't a notice isn't taken.
func TestCloudEventsThatAreRefused(t *testing.T) {
	r := newRig(t, func(o *gateway.Options) { o.AllowedRate = 6000 })
	owner := r.token("owner")
	const media = "application/cloudevents+json"
	for body, status := range map[string]int{
		`{"specversion":"1.0","id":"1","source":"/w","type":"resn.update","subject":"https://a.example/1"}`:                                              204,
		`{"specversion":"1.0","id":"1","source":"/w","type":"resn.update","subject":"https://a.example/1","data":{"a":1}}`:                               400,
		`{"specversion":"1.0","id":"1","source":"/w","type":"resn.update","subject":"/1"}`:                                                               400,
		`{"specversion":"1.0","id":"1","source":"/w","type":"resn.update","subject":"http://a.example/1"}`:                                               400,
		`{"specversion":"1.0","id":"1","source":"/w","type":"resn.update","subject":"https://a.example/1","topic":"other"}`:                              400,
		`{"specversion":"1.0","id":"1","source":"/w","type":"resn.update","subject":"https://a.example/1","sequence":"1","epoch":"e"}`:                   400,
		`{"specversion":"1.0","id":"1","source":"/w","type":"resn.watermark","time":"2026-01-01T00:00:00Z","sequence":"1","epoch":"e","topic":"things"}`: 400,
		`{"specversion":"0.3","id":"1","source":"/w","type":"resn.update","subject":"https://a.example/1"}`:                                              400,
		`{"specversion":"1.0","id":"1","source":"/w","type":"com.example.thing"}`:                                                                        400,
		`nonsense`: 400,
	} {
		if a := r.call(owner, "POST", "/events/things", body, "Content-Type", media); a.status != status {
			t.Errorf("%s\nis answered %d %s, want %d", body, a.status, a.body, status)
		}
	}
	if a := r.call(owner, "POST", "/events/things", "{}", "Content-Type", "application/json"); a.status != 400 {
		t.Errorf("no event at all is answered %d", a.status)
	}
	if a := r.call(owner, "POST", "/events/things", "x", "Content-Type", "application/cloudevents+avro"); a.status != 415 {
		t.Errorf("a format that isn't known is answered %d", a.status)
	}
	if a := r.call(owner, "POST", "/events/things", strings.Repeat("x", 2<<20), "Content-Type", media); a.status != 413 {
		t.Errorf("2 MiB are answered %d", a.status)
	}
	a := r.call("", "OPTIONS", "/events/things", "", "WebHook-Request-Origin", "sender.example")
	if a.status != 204 || a.header.Get("WebHook-Allowed-Origin") != "sender.example" || a.header.Get("WebHook-Allowed-Rate") != "6000" || !strings.Contains(a.header.Get("Allow"), "POST") {
		t.Errorf("the handshake is answered %d %v", a.status, a.header)
	}
}

// The rate that the handshake speaks of is enforced.
func TestAllowedRateIsEnforced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(o *gateway.Options) { o.AllowedRate = 120 })
		owner, other := r.token("owner"), r.token("other")
		send := func(token, topic string) int {
			return r.call(token, "POST", "/events/"+topic, `{"specversion":"1.0","id":"1","source":"/w","type":"resn.update","subject":"https://a.example/1"}`,
				"Content-Type", "application/cloudevents+json").status
		}
		taken := 0
		for range 600 {
			switch status := send(owner, "mine"); status {
			case 204:
				taken++
			case 429:
			default:
				t.Fatalf("answered %d", status)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if taken < 118 || taken > 123 {
			t.Errorf("%d requests were taken in a minute; 120 are allowed", taken)
		}
		if status := send(other, "theirs"); status != 204 {
			t.Errorf("another client is answered %d", status)
		}
	})
}
