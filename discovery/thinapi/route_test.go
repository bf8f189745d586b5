package thinapi_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/goswale/swale/discovery"
	"github.com/goswale/swale/discovery/rules/throttle"
	"github.com/goswale/swale/discovery/thinapi"
)

func TestRoutesByRules(t *testing.T) {
	b := &backend{}
	h := open(t, b, `{"rules": [
		{"id": "orders", "match": {"path": "/v1/orders/{id}/*"}, "route": {"service": "orders", "path": "/orders/{id}/*"}},
		{"id": "old", "match": {"path": "/v1/*"}, "route": {"url": "https://old.example:8443"}},
		{"id": "gone", "match": {"path": "/gone"}, "respond": {"status": 410, "headers": {"Cache-Control": "max-age=60"}, "json": {"gone": true}}}
	]}`, nil)
	for _, c := range []struct{ target, url, host string }{
		{"/v1/orders/a%20b/items?x=1", "http://orders/orders/a%20b/items?x=1", "orders"},
		{"/v1/other", "https://old.example:8443/v1/other", "old.example:8443"},
	} {
		got := ask(h, "GET", c.target, "")
		if s := b.last(t); got.status != 200 || s.url != c.url || s.host != c.host {
			t.Errorf("%s went to %s (%s): %d", c.target, s.url, s.host, got.status)
		}
	}
	asked := len(b.all())
	got := ask(h, "GET", "/gone", "")
	if got.status != 410 || got.body != `{"gone": true}` || got.header.Get("Cache-Control") != "max-age=60" || got.header.Get("Content-Type") != "application/json" {
		t.Errorf("a canned response is as written: %+v", got)
	}
	if got := ask(h, "GET", "/nothing", ""); got.status != 404 || got.header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("what no rule answers is a 404 problem: %+v", got)
	}
	if len(b.all()) != asked {
		t.Error("neither asks a backend")
	}
	c := h.Counts()
	if c.Rules["orders"].Answers[2] != 1 || c.Rules["gone"].Answers[4] != 1 || c.Unmatched != 1 {
		t.Errorf("each rule counts what it did: %+v", c)
	}
	var text strings.Builder
	if _, err := c.WriteTo(&text); err != nil || !strings.Contains(text.String(), `thinapi_answers_total{rule="orders",class="2xx"} 1`) {
		t.Errorf("%v %s", err, text.String())
	}
}

func TestBackendsSeeTheClientAsTheDoorDoes(t *testing.T) {
	b := &backend{}
	h := open(t, b, everything, &thinapi.Options{TrustedProxies: proxies("10.0.0.0/8"), StripHeaders: []string{"x-internal"}})
	lie := []string{"X-Forwarded-For", "1.1.1.1", "X-Real-IP", "1.1.1.1", "Forwarded", "for=1.1.1.1", "X-Forwarded-Host", "evil.example", "X-Forwarded-Proto", "https", "X-Internal", "yes", "Proxy", "evil", "X-Shadow-Of", "me", "X-Request-Id", "mine"}
	got := ask(h, "GET", "http://api.example/", "", append(lie, "from", "192.0.2.7:1234")...)
	s := b.last(t)
	for name, want := range map[string]string{
		"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Host": "api.example", "X-Forwarded-Proto": "http",
		"X-Real-Ip": "", "Forwarded": "", "X-Internal": "", "Proxy": "", "X-Shadow-Of": "",
	} {
		if s.header.Get(name) != want {
			t.Errorf("%s of a stranger reached the backend as %q instead of %q", name, s.header.Get(name), want)
		}
	}
	id := got.header.Get("X-Request-Id")
	if id == "" || id == "mine" || s.header.Get("X-Request-Id") != id {
		t.Errorf("a request has the door's id, here and there: %q and %q", id, s.header.Get("X-Request-Id"))
	}
	got = ask(h, "GET", "http://api.example/", "", append(lie, "from", "10.1.1.1:1234")...)
	s = b.last(t)
	for name, want := range map[string]string{
		"X-Forwarded-For": "1.1.1.1, 10.1.1.1", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https", "X-Internal": "", "X-Request-Id": "mine",
	} {
		if s.header.Get(name) != want {
			t.Errorf("%s of a trusted proxy reached the backend as %q instead of %q", name, s.header.Get(name), want)
		}
	}
	if got.header.Get("X-Request-Id") != "mine" {
		t.Error("a trusted proxy's id is kept")
	}
	ask(h, "GET", "/", "", "from", "10.1.1.1:1234", "X-Request-Id", "a b\tc")
	if got := b.last(t).header.Get("X-Request-Id"); strings.ContainsAny(got, " \t") {
		t.Errorf("an id that can't be logged is replaced, not passed on: %q", got)
	}
}

// The client's address is the last in the chain that no trusted proxy has.
func TestClientAddress(t *testing.T) {
	b := &backend{}
	h := open(t, b, `{"rules": [{"id": "all", "route": {"service": "all"}}, {"id": "one", "match": {"client": ["192.0.2.1"]}, "respond": {"status": 299}},
		{"id": "six", "match": {"client": ["2001:db8::/32"]}, "respond": {"status": 298}}]}`, &thinapi.Options{TrustedProxies: proxies("10.0.0.0/8", "fd00::/8")})
	for _, c := range []struct {
		from, chain string
		want        int
	}{
		{"192.0.2.1:1", "", 299}, {"[::ffff:192.0.2.1]:1", "", 299}, {"192.0.2.9:1", "192.0.2.1", 200},
		{"10.0.0.1:1", "192.0.2.1", 299}, {"10.0.0.1:1", "192.0.2.1, 10.0.0.2", 299}, {"10.0.0.1:1", "192.0.2.1, 192.0.2.9", 200},
		{"10.0.0.1:1", "192.0.2.1, nonsense", 200}, {"10.0.0.1:1", "192.0.2.1:4711", 299}, {"[fd00::1]:1", "[2001:db8::7]:80", 298},
		{"10.0.0.1:1", "2001:db8::7", 298}, {"10.0.0.1:1", "", 200}, {"nonsense", "192.0.2.1", 200},
	} {
		if got := ask(h, "GET", "/", "", "from", c.from, "X-Forwarded-For", c.chain); got.status != c.want {
			t.Errorf("from %s with %q: %d instead of %d", c.from, c.chain, got.status, c.want)
		}
	}
}

// Hailo believed a route header of clients, and underscores are a way around
// those who remove it.
func TestHailoRouteHeaderStopsAtTheDoor(t *testing.T) {
	b := &backend{}
	h := open(t, b, `{"trust": {"header:X-Route": "proxy"}, "rules": [{"id": "all", "route": {"service": "all"}},
		{"id": "v2", "match": {"headers": {"X-Route": "v2"}}, "route": {"service": "v2"}}]}`, &thinapi.Options{TrustedProxies: proxies("10.0.0.0/8")})
	for _, name := range []string{"X-Route", "X_Route", "x-route"} {
		ask(h, "GET", "/", "", name, "v2", "from", "192.0.2.1:1")
		s := b.last(t)
		if s.host != "all" {
			t.Errorf("%s of a client chose %s", name, s.host)
		}
		for sent := range s.header {
			if strings.EqualFold(strings.ReplaceAll(sent, "_", "-"), "X-Route") {
				t.Errorf("%s of a client reached the backend as %s", name, sent)
			}
		}
	}
	ask(h, "GET", "/", "", "X-Route", "v2", "from", "10.0.0.1:1")
	if s := b.last(t); s.host != "v2" || s.header.Get("X-Route") != "v2" {
		t.Errorf("a trusted proxy's route header chose %s", s.host)
	}
}

func TestDeprecationIsTold(t *testing.T) {
	b := &backend{answer: func(*http.Request) (*http.Response, error) {
		resp := ok()
		resp.Header.Set("Link", `</self>; rel="self"`)
		resp.Header.Set("Deprecation", "@1")
		return resp, nil
	}}
	h := open(t, b, `{"rules": [
		{"id": "v1", "match": {"path": "/v1/*"}, "route": {"service": "old"},
			"deprecate": {"at": "2026-01-01T00:00:00Z", "sunset": "2027-01-01T00:00:00+01:00", "link": "https://docs.example/v1", "successor": "/v2/orders"}},
		{"id": "canned", "match": {"path": "/v1/canned"}, "respond": {"status": 200}}]}`, nil)
	for _, target := range []string{"/v1/orders", "/v1/canned"} {
		got := ask(h, "GET", target, "")
		if d := got.header.Values("Deprecation"); len(d) != 1 || d[0] != "@1767225600" {
			t.Errorf("%s: Deprecation is a structured date (RFC 9745 section 2.1), once: %q", target, d)
		}
		if s := got.header.Get("Sunset"); s != "Thu, 31 Dec 2026 23:00:00 GMT" {
			t.Errorf("%s: Sunset is an HTTP date (RFC 8594 section 3): %q", target, s)
		}
		links := strings.Join(got.header.Values("Link"), "\n")
		for _, want := range []string{`<https://docs.example/v1>; rel="deprecation"`, `<https://docs.example/v1>; rel="sunset"`, `</v2/orders>; rel="successor-version"`} {
			if !strings.Contains(links, want) {
				t.Errorf("%s: the links lack %s: %s", target, want, links)
			}
		}
	}
	if n := h.Counts().Rules["v1"].Deprecated; n != 2 {
		t.Errorf("%d deprecated answers were counted", n)
	}
}

type brokenLimiter struct{}

func (brokenLimiter) Take(context.Context, string, throttle.Limit) (throttle.Verdict, error) {
	return throttle.Verdict{}, errors.New("no connection")
}

func TestThrottles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &backend{}
		h := open(t, b, `{"rules": [{"id": "all", "route": {"service": "all"}, "throttle": {"rate": 0.5, "burst": 2, "by": "client"}},
			{"id": "shared", "match": {"path": "/shared"}, "throttle": {"rate": 0.001, "shared": true}}]}`, &thinapi.Options{Shared: brokenLimiter{}})
		var got []int
		for range 4 {
			got = append(got, ask(h, "GET", "/", "", "from", "192.0.2.1:1").status)
		}
		if diff := cmp.Diff([]int{200, 200, 429, 429}, got); diff != "" {
			t.Error(diff)
		}
		late := ask(h, "GET", "/", "", "from", "192.0.2.1:99")
		if late.header.Get("Retry-After") != "2" || !strings.Contains(late.body, `"status":429`) {
			t.Errorf("a throttled client is told when to come again: %+v", late)
		}
		if other := ask(h, "GET", "/", "", "from", "192.0.2.2:1"); other.status != 200 {
			t.Error("another client has a bucket of its own")
		}
		time.Sleep(2 * time.Second)
		if again := ask(h, "GET", "/", "", "from", "192.0.2.1:1"); again.status != 200 {
			t.Error("after Retry-After the request passes")
		}
		for range 3 {
			if got := ask(h, "GET", "/shared", ""); got.status != 200 {
				t.Errorf("a limiter that can't tell lets requests pass: %d", got.status)
			}
		}
		if c := h.Counts(); c.Rules["all"].Throttled != 3 || c.Rules["shared"].Untold != 3 {
			t.Errorf("%+v", c.Rules)
		}
	})
}

func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var left time.Duration
		b := &backend{answer: func(r *http.Request) (*http.Response, error) {
			d, _ := r.Context().Deadline()
			left = time.Until(d)
			<-r.Context().Done()
			return nil, r.Context().Err()
		}}
		h := open(t, b, `{"rules": [{"id": "all", "route": {"service": "all"}}, {"id": "slow", "match": {"path": "/slow"}, "route": {"service": "slow", "timeout": "90s"}}]}`,
			&thinapi.Options{Timeout: 3 * time.Second})
		for target, want := range map[string]time.Duration{"/": 3 * time.Second, "/slow": 90 * time.Second} {
			began := time.Now()
			if got := ask(h, "GET", target, ""); got.status != http.StatusGatewayTimeout {
				t.Errorf("%s: %d", target, got.status)
			}
			if left != want || time.Since(began) != want {
				t.Errorf("%s: the transport had %v, the client waited %v, and the deadline is %v", target, left, time.Since(began), want)
			}
		}
		if n := h.Counts().Late; n != 2 {
			t.Errorf("%d were late", n)
		}
	})
}

func TestFailuresTellNothing(t *testing.T) {
	b := &backend{answer: func(*http.Request) (*http.Response, error) { return nil, errors.New("dial 10.9.8.7: secret") }}
	h := open(t, b, everything, nil)
	got := ask(h, "GET", "/", "")
	if got.status != http.StatusBadGateway || strings.Contains(got.body, "secret") || got.header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%+v", got)
	}
}

func TestBodyLimit(t *testing.T) {
	b := &backend{}
	h := open(t, b, everything, &thinapi.Options{MaxBody: 10})
	if got := ask(h, "POST", "/", "0123456789"); got.status != 200 || b.last(t).body != "0123456789" {
		t.Errorf("a body of the limit passes whole: %+v", got)
	}
	n := len(b.all())
	if got := ask(h, "POST", "/", "0123456789a"); got.status != http.StatusRequestEntityTooLarge {
		t.Errorf("a declared length over the limit is refused: %d", got.status)
	}
	if len(b.all()) != n {
		t.Error("and asks nobody")
	}
	server, client := serve(t, h)
	resp, err := client.Post(server, "text/plain", io.MultiReader(strings.NewReader("012345678"), strings.NewReader("9ab")))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("a body whose length nobody declared ends at the limit: %d", resp.StatusCode)
	}
}

func TestCORS(t *testing.T) {
	b := &backend{answer: func(*http.Request) (*http.Response, error) {
		resp := ok()
		resp.Header.Set("Access-Control-Allow-Origin", "*")
		return resp, nil
	}}
	h := open(t, b, everything, &thinapi.Options{CORS: &thinapi.CORS{Origins: []string{"https://app.example"}, Credentials: true, Expose: []string{"Etag"}}})
	pre := ask(h, "OPTIONS", "/orders", "", "Origin", "https://app.example", "Access-Control-Request-Method", "PUT", "Access-Control-Request-Headers", "if-match")
	want := map[string]string{
		"Access-Control-Allow-Origin": "https://app.example", "Access-Control-Allow-Credentials": "true", "Access-Control-Allow-Headers": "if-match",
		"Access-Control-Max-Age": "600", "Vary": "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
	}
	for name, value := range want {
		if pre.header.Get(name) != value {
			t.Errorf("preflight: %s is %q instead of %q", name, pre.header.Get(name), value)
		}
	}
	if pre.status != http.StatusNoContent || len(b.all()) != 0 {
		t.Errorf("a preflight is answered here: %d", pre.status)
	}
	if evil := ask(h, "OPTIONS", "/", "", "Origin", "https://evil.example", "Access-Control-Request-Method", "PUT"); evil.header.Get("Access-Control-Allow-Origin") != "" {
		t.Error("a stranger's preflight is allowed")
	}
	got := ask(h, "GET", "/", "", "Origin", "https://app.example")
	if got.header.Get("Access-Control-Allow-Origin") != "https://app.example" || got.header.Get("Access-Control-Expose-Headers") != "Etag" || got.header.Get("Vary") != "Origin" {
		t.Errorf("%v", got.header)
	}
	if evil := ask(h, "GET", "/", "", "Origin", "https://evil.example"); len(evil.header.Values("Access-Control-Allow-Origin")) != 0 {
		t.Error("a backend can't open what the door doesn't")
	}
	if _, err := thinapi.New(b, &thinapi.Options{CORS: &thinapi.CORS{Origins: []string{"*"}, Credentials: true}}); err == nil {
		t.Error("credentials for everybody must be refused")
	}
}

// The weights are the version's, not each instance's: the transport is told
// them as they are, however many instances run.
func TestHailoWeightsReachTheTransport(t *testing.T) {
	var split *discovery.Split
	var key string
	splitter := thinapi.Splitter(nil)
	b := &backend{answer: func(r *http.Request) (*http.Response, error) {
		split, key = splitter.Split(r, r.URL.Host)
		return ok(), nil
	}}
	h := open(t, b, `{"rules": [{"id": "orders", "match": {"path": "/orders/*"},
		"route": {"service": "orders", "versions": [{"version": "v1", "weight": 90}, {"version": "v2", "weight": 10}], "fallback": "v1", "by": "attr:customer"}},
		{"id": "all", "route": {"service": "all"}}]}`, &thinapi.Options{Attributes: func(r *http.Request) map[string]string {
		return map[string]string{"customer": "c7"}
	}})
	ask(h, "GET", "/orders/1", "")
	want := &discovery.Split{Versions: []discovery.VersionWeight{{Version: "v1", Weight: 90}, {Version: "v2", Weight: 10}}, Fallback: "v1", Salt: "orders"}
	if diff := cmp.Diff(want, split); diff != "" || key != "c7" {
		t.Errorf("by %q: %s", key, diff)
	}
	if ask(h, "GET", "/", ""); split != nil {
		t.Errorf("a route without versions leaves it to others: %v", split)
	}
}

func Example() {
	b := &backend{}
	door, err := thinapi.New(b, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	err = door.Load([]byte(`{"rules": [
		{"id": "v1", "match": {"path": "/v1/*"}, "route": {"url": "https://old.example"}},
		{"id": "points", "match": {"path": "/v1/point/*"}, "route": {"service": "points", "path": "/point/*"}}
	]}`))
	fmt.Println(err)
	for _, target := range []string{"/v1/point/7", "/v1/points"} {
		got := ask(door, "GET", target, "")
		fmt.Println(got.status, b.all()[len(b.all())-1].url)
	}
	fmt.Println(door.Close(context.Background()))
	// Output:
	// <nil>
	// 200 http://points/point/7
	// 200 https://old.example/v1/points
	// <nil>
}
