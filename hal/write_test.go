package hal_test

import (
	"crypto/tls"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/goswale/swale/hal"
)

func request(t *testing.T, method, target string, header ...string) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return r
}

func write(r *http.Request, v any, opts *hal.WriteOptions) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	hal.Handler(func(w http.ResponseWriter, r *http.Request) error {
		return hal.Write(w, r, http.StatusOK, v, opts)
	}).ServeHTTP(w, r)
	return w
}

func TestWriteNegotiates(t *testing.T) {
	forms := &hal.WriteOptions{ETag: `"v7"`, Templates: hal.Templates{hal.FormOf("default", "PUT", address{})}}
	bare := &hal.WriteOptions{ETag: `"v7"`}
	for _, c := range []struct {
		accept, want, etag string
		opts               *hal.WriteOptions
	}{
		{"", hal.HALType, `"v7"`, forms},
		{"*/*", hal.HALType, `"v7"`, forms},
		{"text/html, */*;q=0.8", hal.HALType, `"v7"`, bare},
		{"application/json", hal.JSONType, `"v7~json"`, bare},
		{"application/*;q=0.5, application/json", hal.JSONType, `"v7~json"`, bare},
		{"application/prs.hal-forms+json", hal.FormsType, "", forms},
		{"application/prs.hal-forms+json, application/hal+json;q=0.9", hal.HALType, `"v7"`, bare},
		{"application/hal+json; profile=\"https://x\"", hal.HALType, `"v7"`, bare},
		{"application/hal+json;q=0, application/json;q=0.1", hal.JSONType, `"v7~json"`, bare},
		{"text/html", hal.ProblemType, "", bare},
		{"application/prs.hal-forms+json", hal.ProblemType, "", bare},
	} {
		r := request(t, "GET", "/")
		if c.accept != "" {
			r.Header.Set("Accept", c.accept)
		}
		w := write(r, map[string]any{"a": 1}, c.opts)
		if got := w.Header().Get("Content-Type"); got != c.want {
			t.Errorf("Accept %q: got %s, want %s", c.accept, got, c.want)
		}
		if got := w.Header().Get("Etag"); c.etag != "" && got != c.etag {
			t.Errorf("Accept %q: ETag %s, want %s; representations that differ have strong ETags that differ", c.accept, got, c.etag)
		}
		if got := w.Header().Get("Vary"); got != "Accept" {
			t.Errorf("Accept %q: Vary %q", c.accept, got)
		}
		if c.want == hal.ProblemType && w.Code != http.StatusNotAcceptable {
			t.Errorf("Accept %q: status %d", c.accept, w.Code)
		}
	}
}

func TestWriteAnswersConditions(t *testing.T) {
	at := time.Date(2026, 11, 21, 9, 25, 0, 500, time.UTC)
	opts := &hal.WriteOptions{ETag: `"v7"`, LastModified: at, CacheControl: "max-age=5"}
	for _, c := range []struct {
		name, value string
		want        int
	}{
		{"If-None-Match", `"v7"`, 304},
		{"If-None-Match", `W/"v7"`, 304},
		{"If-None-Match", `"v6", "v7"`, 304},
		{"If-None-Match", `"a,b" ,, "v7"`, 304},
		{"If-None-Match", `*`, 304},
		{"If-None-Match", `"v7~json"`, 200},
		{"If-None-Match", `"v6"`, 200},
		{"If-None-Match", `v7`, 200},
		{"If-Modified-Since", at.Format(http.TimeFormat), 304},
		{"If-Modified-Since", at.Add(-time.Hour).Format(http.TimeFormat), 200},
		{"If-Modified-Since", "nonsense", 200},
		{"If-Match", `"v7"`, 200},
		{"If-Match", `"v6"`, 412},
	} {
		w := write(request(t, "GET", "/", c.name, c.value), map[string]any{"a": 1}, opts)
		if w.Code != c.want {
			t.Errorf("%s: %s gave %d, want %d", c.name, c.value, w.Code, c.want)
		}
		if w.Code == 304 && (w.Body.Len() > 0 || w.Header().Get("Cache-Control") != "max-age=5" || w.Header().Get("Etag") != `"v7"` || w.Header().Get("Content-Type") != "") {
			t.Errorf("a 304 has no body and the fields of RFC 9110 section 15.4.5: %v", w.Header())
		}
	}
	w := write(request(t, "HEAD", "/"), map[string]any{"a": 1}, nil)
	if w.Body.Len() > 0 || w.Header().Get("Content-Length") != "7" || len(w.Header().Get("Etag")) != 18 {
		t.Errorf("HEAD says what GET would, without a body: %v", w.Header())
	}
	if w := write(request(t, "GET", "/"), func() {}, nil); w.Code != 500 || strings.Contains(w.Body.String(), "func") {
		t.Errorf("a failure of ours is a bare 500: %d %s", w.Code, w.Body)
	}
}

// Who sets the field by hand, as for any other handler, means it: a notice that
// names this version would never match a hash in its place.
func TestWriteKeepsTheTagThatTheHandlerSet(t *testing.T) {
	for _, c := range []struct{ accept, inm, want string }{
		{"*/*", "", `"v7"`},
		{"application/json", "", `"v7~json"`},
		{"*/*", `"v7"`, `"v7"`},
	} {
		r := request(t, "GET", "/", "Accept", c.accept, "If-None-Match", c.inm)
		w := httptest.NewRecorder()
		w.Header().Set("ETag", `"v7"`)
		if err := hal.Write(w, r, http.StatusOK, 1, nil); err != nil {
			t.Fatal(err)
		}
		if got := w.Header().Get("ETag"); got != c.want || (c.inm != "") != (w.Code == http.StatusNotModified) {
			t.Errorf("Accept %q, If-None-Match %q: ETag %s and status %d, want %s", c.accept, c.inm, got, w.Code, c.want)
		}
	}
}

func TestWriteQuotesTagsAndGroups(t *testing.T) {
	w := write(request(t, "GET", "/", "If-None-Match", `"v7"`), 1, &hal.WriteOptions{ETag: "v7", CacheGroups: []string{"/restaurants/203", "a\"b\n"}})
	if w.Code != 304 || w.Header().Get("Etag") != `"v7"` || w.Header().Get("Cache-Groups") != `"/restaurants/203", "a\"b"` {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	if err := hal.Check(request(t, "PUT", "/", "If-Match", `"v7"`), hal.Conditions{ETag: "v7"}); err != nil {
		t.Errorf("a tag without quotes is the same: %v", err)
	}
}

func TestWriteSendsLinkFields(t *testing.T) {
	var v struct {
		Links hal.Links `json:"_links"`
	}
	v.Links.Set("self", hal.To("/a>b"))
	v.Links.Set("find", hal.TemplateTo("/{x}"))
	v.Links.SetAll("item", hal.Link{Href: "/1", Title: `ein "Ü"`}, hal.To("/2"))
	w := write(request(t, "GET", "/"), v, &hal.WriteOptions{LinkHeader: true, Profile: "https://p.example/r"})
	want := []hal.HeaderLink{
		{Rel: "profile", Link: hal.To("https://p.example/r")},
		{Rel: "self", Link: hal.To("/a%3Eb")},
		{Rel: "item", Link: hal.Link{Href: "/1", Title: `ein "Ü"`}},
		{Rel: "item", Link: hal.To("/2")},
	}
	if diff := cmp.Diff(want, hal.ParseLinkHeader(w.Header().Values("Link"))); diff != "" {
		t.Error(diff)
	}
	if got := w.Header().Get("Content-Type"); got != `application/hal+json; profile="https://p.example/r"` {
		t.Error(got)
	}
}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		header, value, etag string
		require             bool
		want                int
	}{
		{"", "", `"v7"`, false, 0},
		{"", "", `"v7"`, true, 428},
		{"If-Match", `"v7"`, `"v7"`, true, 0},
		{"If-Match", `"v7~json"`, `"v7"`, true, 0},
		{"If-Match", `"v7x"`, `"v7"`, true, 412},
		{"If-Match", `W/"v7"`, `"v7"`, true, 412},
		{"If-Match", `W/"v7"`, `W/"v7"`, true, 412},
		{"If-Match", `*`, `"v7"`, true, 0},
		{"If-Match", `*`, ``, true, 412},
		{"If-Match", `"v7"`, ``, true, 412},
		{"If-None-Match", `*`, ``, true, 0},
		{"If-None-Match", `*`, `"v7"`, true, 412},
		{"If-None-Match", `"v6"`, `"v7"`, true, 0},
		{"If-None-Match", `"v7"`, `"v7"`, true, 412},
	} {
		r := request(t, "PUT", "/")
		if c.header != "" {
			r.Header.Set(c.header, c.value)
		}
		err := hal.Check(r, hal.Conditions{ETag: c.etag, Require: c.require})
		got := 0
		if p := (*hal.Problem)(nil); errors.As(err, &p) {
			got = p.Status
			if c.etag != "" && p.Header.Get("Etag") != c.etag {
				t.Errorf("the refusal must carry the current ETag: %v", p.Header)
			}
		}
		if got != c.want {
			t.Errorf("%s: %s against %q: %d, want %d", c.header, c.value, c.etag, got, c.want)
		}
	}
	at := time.Date(2026, 11, 21, 9, 25, 0, 0, time.UTC)
	r := request(t, "PUT", "/", "If-Unmodified-Since", at.Format(http.TimeFormat))
	if err := hal.Check(r, hal.Conditions{ETag: `"v7"`, LastModified: at}); err != nil {
		t.Error(err)
	}
	if err := hal.Check(r, hal.Conditions{ETag: `"v7"`, LastModified: at.Add(time.Second)}); !errors.Is(err, hal.ErrConflict) {
		t.Error(err)
	}
}

func TestDecodeRefuses(t *testing.T) {
	opts := &hal.DecodeOptions{MaxBytes: 64, MaxDepth: 3, Strict: true}
	for _, c := range []struct {
		contentType, body string
		status            int
		pointer           string
	}{
		{"text/plain", `{}`, 415, ""},
		{"", `{}`, 415, ""},
		{hal.JSONType, `{"street":"` + strings.Repeat("x", 64) + `"}`, 413, ""},
		{hal.JSONType, `{"street":`, 400, ""},
		{hal.JSONType, ``, 400, ""},
		{hal.JSONType, `{} {}`, 400, ""},
		{hal.JSONType, `{"a":[[[1]]]}`, 400, ""},
		{hal.JSONType, `{"street":1}`, 422, "#/street"},
		{hal.JSONType, `{"other":1}`, 422, "#/other"},
		{"application/vnd.x+json; charset=utf-8", `{"street":"x"}`, 0, ""},
	} {
		r := request(t, "POST", "/", "Content-Type", c.contentType)
		r.Body = http.NoBody
		r2 := httptest.NewRequestWithContext(t.Context(), "POST", "/", jsonBody(c.body))
		r2.Header = r.Header
		_, err := hal.Decode[address](r2, opts)
		var p *hal.Problem
		if c.status == 0 {
			if err != nil {
				t.Errorf("%s: %v", c.body, err)
			}
			continue
		}
		if !errors.As(err, &p) || p.Status != c.status || c.pointer != "" && (len(p.Errors) != 1 || p.Errors[0].Pointer != c.pointer) {
			t.Errorf("%s %s: %v, want %d at %q", c.contentType, c.body, err, c.status, c.pointer)
		}
	}
	r := httptest.NewRequestWithContext(t.Context(), "PATCH", "/", jsonBody(`{"street":null}`))
	r.Header.Set("Content-Type", hal.MergePatchType)
	if v, err := hal.DecodePatch(r, address{Street: "a", Zip: "b"}, nil); err != nil || v != (address{Zip: "b"}) {
		t.Error(v, err)
	}
	r.Header.Set("Content-Type", "application/json-patch+json")
	_, err := hal.DecodePatch(r, address{}, nil)
	if p := (*hal.Problem)(nil); !errors.As(err, &p) || p.Header.Get("Accept-Patch") != hal.MergePatchType {
		t.Error(err)
	}
}

func TestURLsTrustOnlyTheirProxies(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	for _, c := range []struct {
		opts   *hal.URLOptions
		remote string
		header []string
		tls    bool
		want   string
	}{
		{nil, "10.1.1.1:1", []string{"X-Forwarded-Host", "evil.example"}, false, "/r?a=1"},
		{&hal.URLOptions{Prefix: "/api/"}, "10.1.1.1:1", nil, false, "/api/r?a=1"},
		{&hal.URLOptions{Absolute: true}, "10.1.1.1:1", []string{"X-Forwarded-Host", "evil.example"}, false, "http://self.example/r?a=1"},
		{&hal.URLOptions{Absolute: true}, "1.2.3.4:1", nil, true, "https://self.example/r?a=1"},
		{&hal.URLOptions{Absolute: true, TrustedProxies: proxies}, "1.2.3.4:1", []string{"X-Forwarded-Host", "evil.example"}, false, "http://self.example/r?a=1"},
		{&hal.URLOptions{Absolute: true, TrustedProxies: proxies}, "10.2.3.4:1", []string{"X-Forwarded-Host", "evil.example, pub.example", "X-Forwarded-Proto", "https", "X-Forwarded-Prefix", "/v1/"}, false, "https://pub.example/v1/r?a=1"},
		{&hal.URLOptions{Absolute: true, TrustedProxies: proxies}, "[::ffff:10.2.3.4]:1", []string{"Forwarded", `for=1.1.1.1;host=evil.example, for=2.2.2.2;host="pub.example:8443";proto=https`}, false, "https://pub.example:8443/r?a=1"},
		{&hal.URLOptions{TrustedProxies: proxies}, "10.2.3.4:1", []string{"X-Forwarded-Prefix", "//evil.example"}, false, "/r?a=1"},
		{&hal.URLOptions{Absolute: true, TrustedProxies: proxies}, "10.2.3.4:1", []string{"X-Forwarded-Host", "evil/../x", "X-Forwarded-Proto", "javascript"}, false, "http://self.example/r?a=1"},
	} {
		r := request(t, "GET", "http://self.example/r?a=1", c.header...)
		r.RemoteAddr, r.TLS = c.remote, nil
		if c.tls {
			r.TLS = &tls.ConnectionState{}
		}
		if got := hal.NewURLs(c.opts).Self(r); got != c.want {
			t.Errorf("%+v from %s with %v: %s, want %s", c.opts, c.remote, c.header, got, c.want)
		}
	}
}

func TestPageLinks(t *testing.T) {
	r := request(t, "GET", "/r?q=x&page=2&size=10")
	p, err := hal.PageOf(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := p.Links(r, hal.NewURLs(nil), 25)
	want := hal.CollectionLinks{
		Self: hal.To("/r?q=x&page=2&size=10"), First: hal.To("/r?page=1&q=x&size=10"), Prev: hal.To("/r?page=1&q=x&size=10"),
		Next: hal.To("/r?page=3&q=x&size=10"), Last: hal.To("/r?page=3&q=x&size=10"), Item: hal.Many{},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := hal.Slice(hal.Page{Number: 3, Size: 2}, []int{1, 2, 3, 4, 5}); !cmp.Equal(got, []int{5}) {
		t.Error(got)
	}
	if got := hal.Slice(hal.Page{Number: 9, Size: 2}, []int{1}); len(got) != 0 {
		t.Error(got)
	}
	_, err = hal.PageOf(request(t, "GET", "/?page=0&size=1000"), nil)
	if p := (*hal.Problem)(nil); !errors.As(err, &p) || p.Status != 400 || len(p.Errors) != 2 || p.Errors[0].Parameter != "page" {
		t.Error(err)
	}
}

func TestProblemDocument(t *testing.T) {
	p := &hal.Problem{
		Type: "https://p.example/full", Title: "Full", Status: 409, Detail: "No seat.", Instance: "/r/1",
		Errors: []hal.FieldError{{Pointer: "#/seats", Detail: "too many"}}, Extensions: map[string]any{"free": 2.0, "status": 7},
		Header: http.Header{"Retry-After": {"5"}}, Err: errors.New("secret"),
	}
	w := httptest.NewRecorder()
	w.Header().Set("Etag", `"meant for another"`)
	hal.WriteProblem(w, request(t, "GET", "/"), p)
	want := `{"type":"https://p.example/full","title":"Full","status":409,"detail":"No seat.","instance":"/r/1",` +
		`"errors":[{"pointer":"#/seats","detail":"too many"}],"free":2}`
	if diff := cmp.Diff(want, w.Body.String()); diff != "" {
		t.Error(diff)
	}
	if w.Code != 409 || w.Header().Get("Retry-After") != "5" || w.Header().Get("Etag") != "" {
		t.Error(w.Code, w.Header())
	}
	var back hal.Problem
	if err := back.UnmarshalJSON(w.Body.Bytes()); err != nil || back.Extensions["free"] != 2.0 || !errors.Is(&back, hal.ErrConflict) {
		t.Errorf("%+v, %v", back, err)
	}
	if err := back.UnmarshalJSON([]byte(`{"status":"x","title":7,"type":"t","errors":"many"}`)); err != nil || back.Type != "t" {
		t.Errorf("members of the wrong type are passed over: %v", err)
	}
	w = httptest.NewRecorder()
	hal.WriteProblem(w, request(t, "GET", "/"), errors.New("password=x"))
	if w.Code != 500 || strings.Contains(w.Body.String(), "password") {
		t.Error("a foreign error must not leak", w.Body)
	}
}
