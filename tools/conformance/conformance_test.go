package conformance

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func ids(failures []Failure) []string {
	var all []string
	for _, f := range failures {
		all = append(all, f.ID)
	}
	return all
}

func TestJudge(t *testing.T) {
	r := Judge([]Test{
		{ID: "good", Kind: Required, Passed: true},
		{ID: "slow", Kind: Optimal, Error: "Assertion", Message: "Response 2 does not come from cache"},
		{ID: "bad", Kind: Required, Error: "Assertion", Message: "Response 2 comes from cache"},
		{ID: "after-bad", Kind: Required, Passed: true, DependsOn: []string{"bad"}},
		{ID: "refused", Kind: Required, Error: "FetchError", Message: "502"},
		{ID: "cdn", Suite: "surrogate-control", Kind: Required},
		{ID: "ask", Kind: Check},
	}, map[string]string{"refused": "Go refuses it", "good": "no longer true"})

	if want := (Count{Passed: 1, Total: 4}); r.Required != want {
		t.Errorf("required is %v, not %v: what is excluded or only asks is not counted, what depends on a failure has not passed", r.Required, want)
	}
	if want := (Count{Passed: 0, Total: 1}); r.Optimal != want {
		t.Errorf("optimal is %v, not %v", r.Optimal, want)
	}
	if d := cmp.Diff([]string{"bad", "after-bad", "slow"}, ids(r.Open)); d != "" {
		t.Errorf("open, required first (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{"bad", "after-bad"}, ids(r.OpenRequired())); d != "" {
		t.Errorf("open required (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{"refused"}, ids(r.Argued)); d != "" {
		t.Errorf("argued (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{"good"}, r.Needless); d != "" {
		t.Errorf("an argument for a test that passes is needless (-want +got):\n%s", d)
	}
}

func TestProfile(t *testing.T) {
	for _, c := range []struct {
		test    Test
		applies bool
	}{
		{Test{Suite: "cc-freshness", ID: "freshness-none", Name: "HTTP cache must not reuse"}, true},
		{Test{Suite: "cc-freshness", ID: "x", Name: "Private HTTP cache must not prefer s-maxage"}, true},
		{Test{Suite: "cc-freshness", ID: "x", Name: "An optimal shared HTTP cache reuses"}, false},
		{Test{Suite: "auth", ID: "x", Name: "HTTP shared cache must not reuse"}, false},
		{Test{Suite: "surrogate-control", ID: "x", Name: "Surrogate cache"}, false},
		{Test{Suite: "stale", ID: "stale-close-proxy-revalidate"}, false},
		{Test{Suite: "stale", ID: "stale-close-must-revalidate"}, true},
	} {
		if reason := Profile(c.test); (reason == "") != c.applies {
			t.Errorf("%s %q: applies to a private cache: %v, reason %q", c.test.ID, c.test.Name, !c.applies, reason)
		}
	}
}

func TestArguments(t *testing.T) {
	if _, err := Arguments(); err != nil {
		t.Error(err)
	}
	for text, want := range map[string]string{
		"a-test":          "arguments.txt:1",
		"a-test: \n":      "arguments.txt:1",
		"# x\na: b\na: c": "argued twice",
	} {
		if _, err := parseArguments(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error of %q is %v: every failure has one reason, in words", text, err)
		}
	}
}

// The proxy must hide nothing, or the tests would judge the proxy.
func TestProxyHidesNothing(t *testing.T) {
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Proxy-Authenticate", "Basic")
		w.Header().Set("Seen", r.Header.Get("Test-ID")+" "+r.RequestURI)
		w.WriteHeader(http.StatusTeapot)
		io.WriteString(w, "body") //nolint:errcheck // the client fails if it is missing
	}))
	defer origin.Close()
	base, err := url.Parse(origin.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewServer(Proxy(base, Origin()))
	defer proxy.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, proxy.URL+"/test/1?a=b", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Test-ID", "x")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(resp.StatusCode, resp.Header.Get("Proxy-Authenticate"), resp.Header.Get("Seen"), string(body))
	if want := "418Basicx /test/1?a=bbody"; got != want {
		t.Errorf("through the proxy comes %q, not %q", got, want)
	}
}

func ExampleReport_WriteText() {
	Judge([]Test{
		{Suite: "vary", ID: "vary-match", Name: "reuses a response when Vary matches", Kind: Optimal, Passed: true},
		{Suite: "stale", ID: "stale-no", Name: "must not serve stale", Kind: Required, Error: "Assertion", Message: "Response 2 comes from cache"},
	}, nil).WriteText(os.Stdout)
	// Output:
	// required stale        stale-no
	//          must not serve stale
	//          Response 2 comes from cache
	// required 0/1, optimal 1/1, open 1, argued 0
}
