package httpbus_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"

	"github.com/goswale/swale/bus/httpbus"
	"github.com/goswale/swale/bus/membus"
)

func Example() {
	ctx := context.Background()
	b := membus.New(nil)  // natsbus.Open in a program
	defer b.Shutdown(ctx) //nolint:errcheck // ends the example

	mux := http.NewServeMux()
	mux.HandleFunc("GET /restaurants/{id}", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"id":%q}`, r.PathValue("id"))
	})
	server, err := httpbus.Serve(ctx, b, "restaurants", mux, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Shutdown(ctx) //nolint:errcheck // ends the example

	client := &http.Client{Transport: httpbus.NewTransport(b, nil)}
	resp, err := client.Get("http://restaurants/restaurants/203")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	fmt.Println(resp.Status, string(body), err)
	// Output: 200 OK {"id":"203"} <nil>
}

// A reverse proxy needs nothing but the transport to have its backends on the bus.
func ExampleNewTransport() {
	b := membus.New(nil)
	defer b.Shutdown(context.Background()) //nolint:errcheck // ends the example
	proxy := &httputil.ReverseProxy{
		Transport: httpbus.NewTransport(b, nil),
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: "restaurants"})
		},
	}
	fmt.Printf("%T\n", proxy.Transport)
	// Output: *httpbus.Transport
}
