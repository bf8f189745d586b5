package cache_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/goswale/swale/cache"
)

// fetch gets a URL and prints what came and how.
func fetch(client *http.Client, url string) {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	resp, err := client.Do(req)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		fmt.Println(err)
		return
	}
	how, _, _ := strings.Cut(resp.Header.Get("Cache-Status"), "; ttl=")
	fmt.Printf("%s: %s\n", body, how)
}

func ExampleNew() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		_, _ = io.WriteString(w, "Nopi")
	}))
	defer server.Close()

	client := &http.Client{Transport: cache.New(nil, nil)}
	fetch(client, server.URL)
	fetch(client, server.URL)
	// Output:
	// Nopi: Swale; fwd=uri-miss; fwd-status=200; stored
	// Nopi: Swale; hit
}

// A response that names a scope is reused as long as somebody vouches for it,
// and ends when he says that it changed.
func ExampleTransport_Apply() {
	name := "Nopi"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", `max-age=0, resn="restaurants"`)
		w.Header().Set("ETag", `"`+name+`"`)
		_, _ = io.WriteString(w, name)
	}))
	defer server.Close()

	t := cache.New(nil, nil)
	client := &http.Client{Transport: t}
	t.Scope("restaurants").Vouch(time.Now().Add(time.Minute))
	fetch(client, server.URL+"/restaurants/203")
	fetch(client, server.URL+"/restaurants/203")

	name = "Rovi"
	t.Apply(cache.Change{URL: server.URL + "/restaurants/203", Scope: "restaurants", ETag: `"Rovi"`})
	fetch(client, server.URL+"/restaurants/203")
	// Output:
	// Nopi: Swale; fwd=uri-miss; fwd-status=200; stored
	// Nopi: Swale; hit
	// Rovi: Swale; fwd=stale; fwd-status=200; stored; detail=invalidated
}

func ExampleTransport_Invalidate() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		_, _ = io.WriteString(w, "menu")
	}))
	defer server.Close()

	t := cache.New(nil, nil)
	client := &http.Client{Transport: t}
	fetch(client, server.URL+"/menus?of=203")
	t.Invalidate(server.URL + "/menus")
	fetch(client, server.URL+"/menus?of=203")
	// Output:
	// menu: Swale; fwd=uri-miss; fwd-status=200; stored
	// menu: Swale; fwd=stale; fwd-status=200; stored; detail=invalidated
}

func ExampleTransport_InvalidateGroup() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("Cache-Groups", `"restaurants"`)
		_, _ = io.WriteString(w, "list")
	}))
	defer server.Close()

	t := cache.New(nil, nil)
	client := &http.Client{Transport: t}
	fetch(client, server.URL)
	t.InvalidateGroup(server.URL, "restaurants")
	fetch(client, server.URL)
	// Output:
	// list: Swale; fwd=uri-miss; fwd-status=200; stored
	// list: Swale; fwd=stale; fwd-status=200; stored; detail=invalidated
}

func ExampleTransport_Inspect() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		_, _ = io.WriteString(w, "menu")
	}))
	defer server.Close()

	t := cache.New(nil, nil)
	fetch(&http.Client{Transport: t}, server.URL)
	t.Invalidate(server.URL)
	for _, e := range t.Inspect(server.URL).Entries {
		fmt.Println(e.Reusable, e.Why)
	}
	// Output:
	// menu: Swale; fwd=uri-miss; fwd-status=200; stored
	// false a notice or a write came after its question was sent: it must be revalidated
}
