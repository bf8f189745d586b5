package rediscache_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/goswale/swale/cache"
	"github.com/goswale/swale/cache/rediscache"
)

// Without a Redis everything works, only colder.
func Example() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		fmt.Fprint(w, "pasta")
	}))
	defer server.Close()

	second, err := rediscache.Open("redis://127.0.0.1:1/0", nil) // nobody is there
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = second.Close() }()
	transport := cache.New(nil, &cache.Options{Backing: second})
	defer transport.CloseIdleConnections()
	defer func() { _ = transport.Close() }()
	client := &http.Client{Transport: transport}
	for range 2 {
		resp, err := client.Get(server.URL)
		if err != nil {
			fmt.Println(err)
			return
		}
		how, _, _ := strings.Cut(resp.Header.Get("Cache-Status"), "; ttl=")
		fmt.Println(resp.Status, how)
		_ = resp.Body.Close()
	}
	// Output:
	// 200 OK Swale; fwd=uri-miss; fwd-status=200; stored
	// 200 OK Swale; hit
}
