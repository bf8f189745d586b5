package main

import (
	"bufio"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/goswale/swale/reference-services/liveops"
)

// An order that waits becomes an issue by rules that are configuration, the page is
// told, and the issue goes when the order goes on.
func TestLiveOperations(t *testing.T) {
	p := start(t, "up", "--data", t.TempDir(), "--listen", "127.0.0.1:0", "--city", "3", "--orders", "0")
	write := func(rules string) (int, map[string]any) {
		return exchange(t, http.MethodPost, p.said["config"][:strings.Index(p.said["config"], "page/")]+"changes",
			`{"edits":[{"key":"rules/liveops","overwrite":true,"value":`+rules+`}]}`)
	}
	if code, doc := write(`{"rules":[{"id":"slow","kind":"not-accepted","steps":[{"after":"soon","severity":"warning"}]}]}`); code != http.StatusUnprocessableEntity || !strings.Contains(fmt.Sprint(doc), `/rules/0 (rule "slow"): "soon" is no duration`) {
		t.Errorf("bad rules are answered with %d %v", code, doc)
	}
	root := strings.TrimSuffix(p.said["live"], "live/")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.said["live"]+"changes?topic="+liveops.Topic, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	changes, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = changes.Body.Close() }()
	heard := make(chan string, 100)
	go func() {
		defer close(heard)
		for lines := bufio.NewScanner(changes.Body); lines.Scan(); {
			if _, data, ok := strings.Cut(lines.Text(), `"href":"`); ok {
				href, _, _ := strings.Cut(data, `"`)
				heard <- href
			}
		}
	}()

	// The order is there before the rules that make it an issue.
	code, order := exchange(t, http.MethodPost, p.said["orders"]+"orders",
		`{"restaurant":{"href":"`+p.said["restaurants"]+`restaurants/city-00001","name":"Alder"},"dropoff":{"lat":40.72,"lon":-73.99},"total_cents":1200}`)
	if code != http.StatusCreated {
		t.Fatalf("POST gave %d %v", code, order)
	}
	if code, doc := write(`{"rules":[{"id":"slow","kind":"not-accepted","steps":[{"after":"1ms","severity":"critical"}]}]}`); code >= 300 {
		t.Fatalf("rules are answered with %d %v", code, doc)
	}
	href := <-heard
	var issue liveops.Issue
	fetch(t, href, &issue)
	about, _ := issue.Links.Get("order")
	if self := link(order, "self"); !strings.HasPrefix(href, root) || about.Href != self || issue.Severity != "critical" || issue.Restaurant.Name != "Alder" {
		t.Errorf("the page is told of %s, %+v; the order is %s", href, issue, self)
	}
	accept, ok := issue.Links.Get("accept")
	if !ok {
		t.Fatalf("its links don't say that the order can be accepted: %+v", issue.Links)
	}
	tag := fetch(t, about.Href, &struct{}{}).Get("ETag")
	if code, doc := exchange(t, http.MethodPost, accept.Href, "", "If-Match", tag); code != http.StatusOK {
		t.Fatalf("accepting gave %d %v", code, doc)
	}
	eventually(t, "the issue goes by itself", func() bool {
		fetch(t, href, &issue)
		return issue.Status == "resolved" && issue.ResolvedBy == "cause"
	})
	if code := status(t, p.said["live"]); code != http.StatusOK {
		t.Errorf("the page is answered with %d", code)
	}
	p.stop() // while a page is connected
	for range heard {
	}
}

func link(doc map[string]any, rel string) string {
	links, _ := doc["_links"].(map[string]any)
	l, _ := links[rel].(map[string]any)
	href, _ := l["href"].(string)
	return href
}
