package main

import (
	"net/http"
	"strings"
	"testing"
)

// collection is a list of links.
type collection struct {
	Total int
	Links struct {
		Item []struct{ Href, Title string }
	} `json:"_links"`
}

// A city lives by itself: orders are placed, accepted, and given to riders.
func TestTheCityLives(t *testing.T) {
	data := t.TempDir()
	p := start(t, "up", "--data", data, "--listen", "127.0.0.1:0", "--city", "30", "--orders", "600")
	if !strings.Contains(p.said["life"], "600") {
		t.Errorf("it says of its life: %q", p.said["life"])
	}
	var all, staff collection
	eventually(t, "orders that kitchens have accepted", func() bool {
		fetch(t, p.said["orders"]+"orders?size=200", &all)
		for _, o := range all.Links.Item {
			if strings.HasPrefix(o.Title, "accepted") {
				return true
			}
		}
		return false
	})
	fetch(t, p.said["riders"]+"riders", &staff)
	if staff.Total < 10 {
		t.Errorf("%d riders bring 600 orders a minute", staff.Total)
	}
	// The door leads to both, and the registry knows them.
	for _, path := range []string{"orders", "orders/open", "riders"} {
		if code := status(t, p.said["door"]+path); code != http.StatusOK {
			t.Errorf("the door answers /%s with %d", path, code)
		}
	}
	for _, name := range []string{"orders", "riders"} {
		var doc collection
		fetch(t, p.said["discovery"]+"services/"+name, &doc)
		if len(doc.Links.Item) != 1 {
			t.Errorf("discovery knows %d instances of %s", len(doc.Links.Item), name)
		}
		if code := status(t, p.said["admin "+name]+"readyz"); code != http.StatusOK {
			t.Errorf("the admin port of %s answers %d", name, code)
		}
	}
	p.stop()

	again := start(t, "up", "--data", data, "--listen", "127.0.0.1:0", "--orders", "0")
	var later collection
	fetch(t, again.said["orders"]+"orders", &later)
	if later.Total < all.Total || !strings.Contains(again.said["life"], "quiet") {
		t.Errorf("a quiet start (%q) finds %d orders after %d", again.said["life"], later.Total, all.Total)
	}
	again.stop()
}
