package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/goswale/swale/auth"
)

// exchange sends a JSON document and returns the status and the document that
// answers it.
func exchange(t *testing.T, method, url, body string, header ...string) (int, map[string]any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/hal+json, application/json")
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
		if header[i] == "Host" {
			req.Host = header[i+1]
		}
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	doc := map[string]any{}
	if len(bytes.TrimSpace(data)) > 0 && strings.Contains(resp.Header.Get("Content-Type"), "json") {
		if err := json.Unmarshal(data, &doc); err != nil {
			t.Fatalf("%s %s: %v in %s", method, url, err, data)
		}
	}
	return resp.StatusCode, doc
}

// read returns what a URL is answered with.
func read(t *testing.T, url string) (status int, text string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// A change of configuration is on the page without a restart, and one that
// can't be right changes nothing.
func TestUpConfiguresTheStorefront(t *testing.T) {
	p := start(t, "up", "--data", t.TempDir(), "--listen", "127.0.0.1:0", "--city", "30")
	defer p.stop()
	config := strings.TrimSuffix(p.said["config"], "/page/")
	set := func(value string) {
		t.Helper()
		if status, doc := exchange(t, http.MethodPost, config+"/changes", `{"edits":[{"key":"storefront","overwrite":true,"value":`+value+`}]}`); status != http.StatusCreated {
			t.Fatalf("status %d, %v", status, doc)
		}
	}
	set(`{"size":7}`)
	eventually(t, "the new size", func() bool { return nearby(t, p.said["storefront"]).Count == 7 })
	set(`{"size":-1}`)
	set(`{"size":"many"}`)
	eventually(t, "the report of what was rejected", func() bool {
		_, doc := exchange(t, http.MethodGet, config+"/instances", "")
		text, _ := json.Marshal(doc)
		return strings.Contains(string(text), "storefront") && strings.Contains(string(text), "size")
	})
	if n := nearby(t, p.said["storefront"]).Count; n != 7 {
		t.Errorf("after settings that can't be right a page has %d restaurants; the last good ones give 7", n)
	}
	set(`{"size":9}`)
	eventually(t, "the size that is right again", func() bool { return nearby(t, p.said["storefront"]).Count == 9 })
}

func TestUpListsWhatRuns(t *testing.T) {
	p := start(t, "up", "--data", t.TempDir(), "--listen", "127.0.0.1:0", "--city", "3")
	defer p.stop()
	for _, service := range []string{"restaurants", "storefront"} {
		status, doc := exchange(t, http.MethodGet, p.said["discovery"]+"services/"+service+"?embed=item", "")
		text, _ := json.Marshal(doc)
		if address := strings.Trim(strings.TrimPrefix(p.said[service], "http://"), "/"); status != http.StatusOK || !strings.Contains(string(text), address) {
			t.Errorf("discovery says of %s: %d %s; it runs at %s", service, status, text, address)
		}
	}
}

// TestUpShowsItself reads the console: what runs, and how stale the storefront's
// answers may be.
func TestUpShowsItself(t *testing.T) {
	p := start(t, "up", "--data", t.TempDir(), "--listen", "127.0.0.1:0", "--city", "3")
	defer p.stop()
	eventually(t, "the console to show all services", func() bool {
		status, page := read(t, p.said["console"])
		for _, want := range []string{"Owned by <b>restaurants/", ">storefront/", ">live<", ">kernel<", ">door<", p.said["rules"]} {
			if !strings.Contains(page, want) {
				return false
			}
		}
		return status == http.StatusOK && strings.Contains(page, "<polyline points=")
	})
}

// Somebody registers, logs in, and gets a token that a service verifies from
// the issuer's metadata alone; a second start knows the account, and the tokens
// of before.
func TestUpIssuesTokens(t *testing.T) {
	data := t.TempDir()
	args := []string{"up", "--data", data, "--listen", "127.0.0.1:0", "--kernel-listen", address(t), "--city", "3"}
	p := start(t, args...)
	issuer := strings.TrimSuffix(p.said["login"], "/signin")
	const account = `{"application":"customers","name":"ada","password":"correct horse battery"}`
	if status, doc := exchange(t, http.MethodPost, issuer+"/accounts/customers", account); status != http.StatusCreated {
		t.Fatalf("register: %d %v", status, doc)
	}
	status, session := exchange(t, http.MethodPost, issuer+"/sessions", account)
	token, _ := session["token"].(string)
	if status != http.StatusCreated || token == "" {
		t.Fatalf("log in: %d %v", status, session)
	}
	source, err := auth.SessionSource(issuer, token, nil)
	if err != nil {
		t.Fatal(err)
	}
	const orders = "https://orders.example"
	access, err := source.Token(t.Context(), orders)
	if err != nil {
		t.Fatal(err)
	}
	v, err := auth.NewVerifier(nil, issuer, orders, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = v.Close(t.Context()) }()
	if c, err := v.Verify(t.Context(), access.Access); err != nil || !c.Allows("orders:read") {
		t.Errorf("%+v, %v", c, err)
	}
	p.stop()

	again := start(t, args...)
	defer again.stop()
	if status, doc := exchange(t, http.MethodPost, issuer+"/sessions", account); status != http.StatusCreated {
		t.Errorf("log in after a restart: %d %v", status, doc)
	}
	if _, err := source.Token(t.Context(), orders); err != nil {
		t.Errorf("a session from before the restart: %v", err)
	}
	fresh, err := auth.NewVerifier(nil, issuer, orders, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = fresh.Close(t.Context()) }()
	if _, err := fresh.Verify(t.Context(), access.Access); err != nil {
		t.Errorf("a token from before the restart: %v", err)
	}
}

// A page of another site can't use the developer's browser.
func TestUpKeepsOtherSitesOut(t *testing.T) {
	p := start(t, "up", "--data", t.TempDir(), "--listen", "127.0.0.1:0", "--city", "3")
	defer p.stop()
	config := strings.TrimSuffix(p.said["config"], "/page/")
	const change = `{"edits":[{"key":"storefront","overwrite":true,"value":{"size":2}}]}`
	for name, c := range map[string]struct {
		header []string
		status int
	}{
		"a form of another site":        {[]string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}, 403},
		"a name pointed at the machine": {[]string{"Host", "evil.example:8083", "Origin", "http://evil.example:8083"}, 421},
		"a program of the developer's":  {nil, 201},
	} {
		if status, doc := exchange(t, http.MethodPost, config+"/changes", change, c.header...); status != c.status {
			t.Errorf("%s: %d %v, want %d", name, status, doc, c.status)
		}
	}
}

func TestCommandsOfModules(t *testing.T) {
	for _, tt := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"auth", "explain"}, 2, "usage: auth explain"},
		{[]string{"rules"}, 2, "usage: rules lint"},
		{[]string{"config"}, 2, "config VERB"},
	} {
		_, stderr, code := runOnce(t, tt.args...)
		if code != tt.code || !strings.Contains(stderr, tt.says) {
			t.Errorf("swale %v: exit code %d, %q; want %d and %q", tt.args, code, stderr, tt.code, tt.says)
		}
	}
}

// The door sends requests where its rules say, which are configuration: good ones
// decide without a restart, bad ones are refused and change nothing, and a second
// start has the last good ones.
func TestUpServesByRules(t *testing.T) {
	data := t.TempDir()
	args := []string{"up", "--data", data, "--listen", "127.0.0.1:0", "--city", "5"}
	p := start(t, args...)
	config := strings.TrimSuffix(p.said["config"], "/page/")
	answers := func(p *program, path string) (int, string) {
		t.Helper()
		return read(t, strings.TrimSuffix(p.said["door"], "/")+path)
	}
	if status, text := answers(p, "/restaurants/city-00001"); status != http.StatusOK || !strings.Contains(text, "city-00001") {
		t.Fatalf("the door answers for a restaurant with %d %s", status, text)
	}
	write := func(rules string) (int, map[string]any) {
		t.Helper()
		return exchange(t, http.MethodPost, config+"/changes", `{"edits":[{"key":"rules/door","overwrite":true,"value":`+rules+`}]}`)
	}
	const closed = `{"rules":[{"id":"all","match":{"path":"/*"},"route":{"service":"storefront"}},` +
		`{"id":"closed","match":{"path":"/restaurants/*"},"respond":{"status":410,"body":"closed"}}]}`
	if status, doc := write(closed); status != http.StatusCreated {
		t.Fatalf("good rules: %d %v", status, doc)
	}
	eventually(t, "the new rules decide", func() bool {
		status, text := answers(p, "/restaurants/city-00001")
		return status == http.StatusGone && text == "closed"
	})
	status, doc := write(`{"rules":[{"id":"a","route":{"service":"storefront"}},{"id":"b","route":{"service":"restaurants"}}]}`)
	if text, _ := json.Marshal(doc); status != http.StatusUnprocessableEntity || !strings.Contains(string(text), "shadowed") {
		t.Errorf("rules that lint has something to say about: %d %s", status, text)
	}
	if status, _ := answers(p, "/restaurants/city-00001"); status != http.StatusGone {
		t.Errorf("after bad rules a restaurant is answered with %d; the good ones say 410", status)
	}
	if _, page := read(t, p.said["rules"]+"?path=/restaurants/city-00001"); !strings.Contains(page, "<strong>closed</strong>") {
		t.Errorf("the page doesn't say that the rule closed decides: %s", page)
	}
	p.stop()
	again := start(t, args...)
	defer again.stop()
	if status, _ := answers(again, "/restaurants/city-00001"); status != http.StatusGone {
		t.Errorf("after a restart a restaurant is answered with %d; the rules say 410", status)
	}
}
