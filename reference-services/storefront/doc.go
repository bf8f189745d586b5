// Package storefront is an edge service: it shows the restaurants near a
// place, owns none of them, and keeps nothing but a cache.
//
//	client, err := resn.NewClient(b, nil)
//	http.ListenAndServe(addr, storefront.New("http://restaurants.example/", client, nil))
//
// A page is one list and many items. Each item is read by a request of its
// own, through a cache that its owner's notices keep coherent, so that a page
// on which nothing changed asks nobody. Where the same page is wanted outside
// of this service, [Loader] makes it with any transport.
//
// # What it knows of others
//
// The root document of the restaurants service, and relations: "restaurants",
// a templated link with the variables geohash and size, leads from there to a
// list; "item" from a list to its restaurants. No path of another service is
// written down here.
//
// # When the owner is down
//
// It serves what it may. Items that the owner's last word vouches for, or that
// the owner allows to be served stale on error, are shown; an item that is
// known to have changed since is not, and is listed as missing. If the list
// itself can't be had, the last one is used, as what it is: links from then.
// Every such page says so, in HAL as the member "degraded" and in HTML above
// the list. Only a page that was never loaded is an error, 503.
//
// # Files
//
//   - service.go routes, loader.go makes pages, observer.go notes where each
//     answer came from, source.go reads Cache-Status
//   - owner.go is what is read of the owner
//   - document.go is the page for programs; view.go, plot.go, page.html and
//     page.css for people
//   - cmd/storefront is the program
//
// The observer stands between the HAL client and the cache, and answers the
// client's question for decoded values too: without that every item of a warm
// page would be decoded again.
package storefront
