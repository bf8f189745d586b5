package gateway_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"

	"github.com/goswale/swale/bus/membus"
	"github.com/goswale/swale/resn/gateway"
)

// A publisher and a subscriber that know nothing but HTTP.
func Example() {
	ctx := context.Background()
	b := membus.New(nil)

	// The subscriber waits for batches.
	batches := make(chan string)
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		batches <- string(body)
		w.WriteHeader(http.StatusNoContent) // acknowledged
	}))
	defer app.Close()

	g, err := gateway.Open(ctx, b, &gateway.MemoryStore{}, &gateway.Options{
		RootToken: "root-token",
		Callbacks: gateway.CallbackOptions{ // for an example on one machine
			AllowHTTP: true,
			Networks:  []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	door := httptest.NewServer(g)
	defer door.Close()

	ask := func(token, path, body string) {
		req, _ := http.NewRequestWithContext(ctx, http.MethodPost, door.URL+path, strings.NewReader(body))
		req.SetBasicAuth(token, "x")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			fmt.Println(err)
			return
		}
		_ = resp.Body.Close()
		fmt.Println(path, resp.StatusCode)
	}
	ask("root-token", "/api_tokens", `{"name":"restaurants","token":"restaurants-7c1f"}`)
	ask("root-token", "/api_tokens", `{"name":"search","token":"search-20b9"}`)
	ask("search-20b9", "/subscription", `{"topics":["restaurants"],"callback":"`+app.URL+`/events","uuid":"secret","timeout":10}`)
	ask("restaurants-7c1f", "/topics/restaurants", `{"type":"update","url":"https://api.example/restaurants/203","timestamp":946684800000}`)
	fmt.Println(<-batches)

	http.DefaultClient.CloseIdleConnections()
	_ = g.Shutdown(ctx)
	_ = b.Shutdown(ctx)
	// Output:
	// /api_tokens 201
	// /api_tokens 201
	// /subscription 204
	// /topics/restaurants 200
	// [{"topic":"restaurants","type":"update","url":"https://api.example/restaurants/203","t":946684800000}]
}
