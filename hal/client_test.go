package hal_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/goswale/swale/hal"
)

func document(w http.ResponseWriter, format string, args ...any) {
	w.Header().Set("Content-Type", hal.HALType)
	_, _ = fmt.Fprintf(w, format, args...)
}

func TestClientKeepsToItsHosts(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { document(w, `{"id":"far"}`) }))
	defer elsewhere.Close()
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		document(w, `{"_links":{"far":{"href":%q},"tpl":{"href":"{+to}","templated":true},"odd":{"href":"file:///etc/passwd"},"away":{"href":"/away"}}}`, elsewhere.URL)
	})
	mux.HandleFunc("/away", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, http.StatusFound) })
	mux.HandleFunc("/loop", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/loop", http.StatusFound) })
	strict := serve(t, mux, nil)
	allowed := serve(t, mux, &hal.ClientOptions{AllowedHosts: []string{strings.TrimPrefix(elsewhere.URL, "http://")}})
	ctx := t.Context()
	for _, c := range []struct {
		client *hal.Client
		ok     bool
	}{{strict, false}, {allowed, true}} {
		root, err := hal.Get[hal.Any](ctx, c.client, "/")
		if err != nil {
			t.Fatal(err)
		}
		_, direct := hal.Follow[restaurant](ctx, c.client, root, "far")
		_, expanded := hal.Follow[restaurant](ctx, c.client, root, "tpl", hal.V("to", elsewhere.URL))
		_, redirected := hal.Follow[restaurant](ctx, c.client, root, "away")
		all := hal.FollowAll[restaurant](ctx, c.client, root, "far")[0].Err
		for _, err := range []error{direct, expanded, redirected, all} {
			if c.ok && err != nil || !c.ok && !errors.Is(err, hal.ErrHost) {
				t.Errorf("allowed %v: %v; links, templates and redirects lead only to allowed hosts", c.ok, err)
			}
		}
		if _, err := hal.Follow[restaurant](ctx, c.client, root, "odd"); !errors.Is(err, hal.ErrHost) {
			t.Errorf("a link to a file must not be followed: %v", err)
		}
	}
	if _, err := hal.Get[hal.Any](ctx, strict, "/loop"); !errors.Is(err, hal.ErrLimit) {
		t.Errorf("redirects are limited: %v", err)
	}
	if _, err := hal.Get[restaurant](ctx, strict, elsewhere.URL); err != nil {
		t.Errorf("what the caller names is not a link: %v", err)
	}
}

func TestClientLimits(t *testing.T) {
	deep := strings.Repeat(`{"a":`, 100) + "1" + strings.Repeat("}", 100)
	mux := http.NewServeMux()
	mux.HandleFunc("/deep", func(w http.ResponseWriter, _ *http.Request) { document(w, "%s", deep) })
	mux.HandleFunc("/large", func(w http.ResponseWriter, _ *http.Request) { document(w, `{"a":"%s"}`, strings.Repeat("x", 2000)) })
	mux.HandleFunc("/endless", func(w http.ResponseWriter, _ *http.Request) {
		w.(http.Flusher).Flush()
		document(w, `{"a":"%s"}`, strings.Repeat("x", 20000))
	})
	mux.HandleFunc("/html", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<p>")
	})
	mux.HandleFunc("/broken", func(w http.ResponseWriter, _ *http.Request) { document(w, `{"a":`) })
	c := serve(t, mux, &hal.ClientOptions{MaxBytes: 1000})
	for _, path := range []string{"/deep", "/large", "/endless"} {
		if _, err := hal.Get[map[string]any](t.Context(), c, path); !errors.Is(err, hal.ErrLimit) {
			t.Errorf("%s: %v, want ErrLimit", path, err)
		}
	}
	for _, path := range []string{"/html", "/broken"} {
		if _, err := hal.Get[map[string]any](t.Context(), c, path); err == nil {
			t.Errorf("%s: a document that isn't JSON is an error", path)
		}
	}
	if _, err := hal.Get[hal.Any](t.Context(), hal.NewClient(nil), "/relative"); err == nil {
		t.Error("without Base an href must be absolute")
	}
}

func TestDeprecationIsHeard(t *testing.T) {
	var heard []hal.Deprecated
	c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/old" {
			w.Header().Set("Deprecation", "@1688169599")
			w.Header().Set("Sunset", "Sun, 30 Jun 2030 23:59:59 GMT")
		}
		document(w, `{"_links":{"old":{"href":"/old","deprecation":"https://api.example/why"}}}`)
	}), &hal.ClientOptions{OnDeprecated: func(_ context.Context, d hal.Deprecated) { heard = append(heard, d) }})
	root, err := hal.Get[hal.Any](t.Context(), c, "/")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := hal.Follow[hal.Any](t.Context(), c, root, "old"); err != nil {
		t.Fatal(err)
	}
	if len(heard) != 2 || heard[0].Rel != "old" || heard[0].About != "https://api.example/why" || heard[1].Sunset.Year() != 2030 {
		t.Errorf("the hook hears of the link and of the resource: %+v", heard)
	}
}

func TestEmbeddedPolicy(t *testing.T) {
	var fetched atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		document(w, `{"_links":{"item":[{"href":"/1"},{"href":"/2"}]},"_embedded":{"item":[`+
			`{"_links":{"self":{"href":"/2"}},"_partial":true,"id":"2"},`+
			`{"_links":{"self":{"href":"/1"}},"id":"1","name":"embedded"}]}}`)
	})
	mux.HandleFunc("/{id}", func(w http.ResponseWriter, r *http.Request) {
		fetched.Add(1)
		document(w, `{"id":%q,"name":"fetched"}`, r.PathValue("id"))
	})
	for _, c := range []struct {
		policy  hal.EmbeddedPolicy
		names   string
		fetched int64
	}{
		{hal.EmbeddedWhole, "embedded fetched", 1},
		{hal.EmbeddedNever, "fetched fetched", 2},
		{hal.EmbeddedAlways, "embedded ", 0},
	} {
		fetched.Store(0)
		client := serve(t, mux, &hal.ClientOptions{Embedded: c.policy})
		root, err := hal.Get[hal.Any](t.Context(), client, "/")
		if err != nil {
			t.Fatal(err)
		}
		items := hal.FollowAll[restaurant](t.Context(), client, root, "item")
		if got := items[0].Resource.Value.Name + " " + items[1].Resource.Value.Name; got != c.names || fetched.Load() != c.fetched {
			t.Errorf("policy %d: %q, %d fetched", c.policy, got, fetched.Load())
		}
		if items[0].Resource.Value.ID != "1" {
			t.Errorf("the order is that of the links")
		}
		if c.policy == hal.EmbeddedAlways {
			r := items[1].Resource
			if _, err := hal.Put(t.Context(), client, r, r.Value); !errors.Is(err, hal.ErrPartial) {
				t.Errorf("a partial resource must not overwrite the whole: %v", err)
			}
			if _, err := hal.Put(t.Context(), client, items[0].Resource, r.Value); !errors.Is(err, hal.ErrNoETag) {
				t.Errorf("a write that can't be conditional is refused: %v", err)
			}
		}
		again := hal.FollowAll[restaurant](t.Context(), client, root, "item")
		if c.policy == hal.EmbeddedWhole && again[0].Resource != items[0].Resource {
			t.Error("an embedded resource is decoded once")
		}
	}
}

func TestFollowPicks(t *testing.T) {
	c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Add("Link", `</up>; rel="up collection"`)
		document(w, `{"_links":{"admin":[{"href":"/a","name":"fred"},{"href":"/b{?x}","name":"kate","templated":true}],"find":{"href":"/f{?q,n*}","templated":true},"bad":{"href":"/{","templated":true}}}`)
	}), nil)
	root, err := hal.Get[hal.Any](t.Context(), c, "/")
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []struct {
		rel  string
		vars []hal.Var
		want string
		err  error
	}{
		{"admin", nil, "", hal.ErrAmbiguous},
		{"admin", []hal.Var{hal.Named("fred")}, "/a", nil},
		{"admin", []hal.Var{hal.Named("kate"), hal.V("x", true)}, "/b?x=true", nil},
		{"admin", []hal.Var{hal.Named("bob")}, "", hal.ErrNoLink},
		{"find", []hal.Var{hal.V("q", "dim sum"), hal.List("n", 1, 2)}, "/f?q=dim%20sum&n=1&n=2", nil},
		{"find", []hal.Var{hal.Map("n", map[string]float64{"b": 2.5, "a": 1})}, "/f?a=1&b=2.5", nil},
		{"find", nil, "/f", nil},
		{"find", []hal.Var{hal.V("typo", 1)}, "", hal.ErrTemplate},
		{"bad", nil, "", hal.ErrTemplate},
		{"up", nil, "/up", nil},
		{"collection", nil, "/up", nil},
		{"absent", nil, "", hal.ErrNoLink},
	} {
		got, err := c.Resolve(root, q.rel, q.vars...)
		if !errors.Is(err, q.err) || err == nil && got != strings.TrimSuffix(root.URL, "/")+q.want {
			t.Errorf("%s: %s, %v; want %s, %v", q.rel, got, err, q.want, q.err)
		}
	}
}

func TestFollowAllIsParallelAndBounded(t *testing.T) {
	var now, most atomic.Int64
	gate := make(chan struct{})
	open := sync.OnceFunc(func() { close(gate) })
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		var links []string
		for i := range 9 {
			links = append(links, fmt.Sprintf(`{"href":"/i/%d"}`, i))
		}
		document(w, `{"_links":{"item":[%s]}}`, strings.Join(links, ","))
	})
	mux.HandleFunc("/i/{id}", func(w http.ResponseWriter, r *http.Request) {
		n := now.Add(1)
		defer now.Add(-1)
		if n == 3 {
			open() // three at once: let them all go
		}
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		<-gate
		if r.PathValue("id") == "5" {
			hal.WriteProblem(w, r, hal.NewProblem(http.StatusNotFound, ""))
			return
		}
		document(w, `{"id":%q}`, r.PathValue("id"))
	})
	c := serve(t, mux, &hal.ClientOptions{Parallel: 3})
	root, err := hal.Get[hal.Any](t.Context(), c, "/")
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range hal.FollowAll[restaurant](t.Context(), c, root, "item") {
		if (r.Err != nil) != (i == 5) || r.Err == nil && r.Resource.Value.ID != fmt.Sprint(i) {
			t.Errorf("item %d: %+v, %v", i, r.Resource, r.Err)
		}
	}
	if most.Load() > 3 {
		t.Errorf("%d requests at once, with Parallel 3", most.Load())
	}
}

func TestTimeoutDoesNotHideTheCache(t *testing.T) {
	k := newKeeper()
	k.bodies["https://api.example/x"] = `{"id":"1"}`
	c := hal.NewClient(&hal.ClientOptions{HTTP: &http.Client{Transport: k, Timeout: time.Minute}})
	if _, err := hal.Get[restaurant](t.Context(), c, "https://api.example/x"); err != nil || k.once != 1 {
		t.Errorf("with a Timeout the body must still be the transport's own: %v, %d", err, k.once)
	}
}

func TestProfiles(t *testing.T) {
	c := serve(t, hal.Handler(func(w http.ResponseWriter, r *http.Request) error {
		var v struct {
			Links hal.Links `json:"_links"`
		}
		v.Links.SetAll("profile", hal.To("https://p.example/a"), hal.To("/profiles/b"))
		return hal.Write(w, r, http.StatusOK, v, &hal.WriteOptions{Profile: "https://p.example/a"})
	}), nil)
	r, err := hal.Get[hal.Any](t.Context(), c, "/")
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Profiles(); len(got) != 2 || got[0] != "https://p.example/a" || !strings.HasSuffix(got[1], "/profiles/b") {
		t.Errorf("each profile once, wherever it is said: %q", got)
	}
}

type answers func(*http.Request) *http.Response

func (a answers) RoundTrip(r *http.Request) (*http.Response, error) { return a(r), nil }

func TestRedirectsDoNotGiveUpTLS(t *testing.T) {
	transport := answers(func(r *http.Request) *http.Response {
		to := "http://api.example/plain"
		if r.URL.Scheme == "http" && r.URL.Path == "/up" {
			to = "https://api.example/secure"
		}
		resp := &http.Response{StatusCode: 302, Request: r, Header: http.Header{"Location": {to}}, Body: http.NoBody}
		if r.URL.Path == "/secure" || r.URL.Path == "/plain" {
			resp.StatusCode = 204
		}
		return resp
	})
	c := hal.NewClient(&hal.ClientOptions{HTTP: &http.Client{Transport: transport}})
	if _, err := hal.Get[hal.Any](t.Context(), c, "https://api.example/down"); !errors.Is(err, hal.ErrHost) {
		t.Errorf("from https to http: %v", err)
	}
	if r, err := hal.Get[hal.Any](t.Context(), c, "http://api.example/up"); err != nil || r.URL != "https://api.example/secure" {
		t.Errorf("from http to https is welcome: %v", err)
	}
}
