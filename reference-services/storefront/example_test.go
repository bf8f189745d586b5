package storefront_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/goswale/swale/reference-services/storefront"
	"github.com/goswale/swale/resn"
)

// The page that the service shows can be made anywhere, through any
// transport. This one is a cache without a bus, so the second page lives by
// max-age.
func ExampleLoader() {
	documents := map[string]string{
		"/":       `{"_links":{"restaurants":{"href":"/list{?size}","templated":true}}}`,
		"/list":   `{"_links":{"item":[{"href":"/item/1"},{"href":"/item/2"}]}}`,
		"/item/1": `{"name":"Alder"}`,
		"/item/2": `{"name":"Beech"}`,
	}
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/hal+json")
		w.Header().Set("Cache-Control", "max-age=60")
		_, _ = w.Write([]byte(documents[r.URL.Path]))
	}))
	defer service.Close()
	client, err := resn.NewClient(nil, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = client.Close(context.Background()) }()

	loader := storefront.NewLoader(service.URL, client.HTTP(), nil)
	for range 2 {
		page := loader.Load(context.Background(), storefront.Query{Size: 2})
		for _, item := range page.Items {
			fmt.Printf("%s (%s)\n", item.Restaurant.Name, item.Source)
		}
		fmt.Println("domain requests:", page.Requests)
	}
	// Output:
	// Alder (fetched)
	// Beech (fetched)
	// domain requests: 4
	// Alder (cache)
	// Beech (cache)
	// domain requests: 0
}
