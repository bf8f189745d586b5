package hal_test

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/goswale/swale/hal"
)

func jsonBody(s string) io.Reader { return strings.NewReader(s) }

func TestPathWalksByRelation(t *testing.T) {
	c := serve(t, newStore().handler(), nil)
	find := c.From("/").Follow("restaurants").Follow("find", hal.V("id", 4))
	r, err := hal.At[restaurant](t.Context(), find)
	if err != nil || r.Value.ID != "4" {
		t.Errorf("got %+v, %v", r, err)
	}
	all, err := hal.AllAt[restaurant](t.Context(), c.From("/").Follow("restaurants").Follow("item"))
	if err != nil || len(all) != 2 {
		t.Errorf("got %d, %v", len(all), err)
	}
	_, err = hal.At[restaurant](t.Context(), c.From("/").Follow("restaurant").Follow("item"))
	var wrong *hal.LinkError
	if !errors.As(err, &wrong) || wrong.Rel != "restaurant" || !errors.Is(err, hal.ErrNoLink) {
		t.Errorf("a step that isn't there is named: %v", err)
	}
	if !slices.Contains(wrong.Has, "restaurants") || !strings.Contains(err.Error(), `which has [`) || !strings.Contains(err.Error(), `"restaurants"`) {
		t.Errorf("and what is there instead: %v", err)
	}
	if _, err := hal.Expand("/restaurants/{id}", hal.V("idd", 203)); !errors.Is(err, hal.ErrTemplate) || !strings.Contains(err.Error(), `it has ["id"]`) {
		t.Errorf("a variable that isn't there is named, and those that are: %v", err)
	}
}

func TestIteratorsWalkAllPages(t *testing.T) {
	s := newStore()
	c := serve(t, s.handler(), nil)
	var ids []string
	for item, err := range hal.Each[restaurant](t.Context(), c, "/restaurants", "item") {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, item.Value.ID)
	}
	if got := strings.Join(ids, ""); got != "12345" || s.gets != 5 {
		t.Errorf("items %q after %d requests", got, s.gets)
	}
	ids = nil
	for item, err := range hal.Each[restaurant](t.Context(), c, "/restaurants?embed=item", "item") {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, item.Value.ID)
	}
	if got := strings.Join(ids, ""); got != "12345" || s.gets != 5 {
		t.Errorf("embedded items are used where they are whole: %q after %d requests", got, s.gets)
	}
	delete(s.items, "3")
	failed := 0
	for _, err := range hal.Each[restaurant](t.Context(), c, "/restaurants", "item") {
		if err != nil {
			failed++
		}
	}
	if failed != 1 {
		t.Errorf("%d items failed; each has its own error and doesn't end the walk", failed)
	}
	for item, err := range hal.Each[restaurant](t.Context(), c, "/restaurants", "item") {
		if err != nil || item.Value.ID != "1" {
			t.Errorf("the first item is %+v, %v", item, err)
		}
		break // must end the walk
	}
}

func TestPagesThatGoRoundEnd(t *testing.T) {
	c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", hal.HALType)
		_, _ = io.WriteString(w, `{"_links":{"next":{"href":"?again"}}}`)
	}), nil)
	var last error
	n := 0
	for _, err := range hal.Pages[hal.Any](t.Context(), c, "/") {
		n++
		last = err
	}
	if n != 3 || !errors.Is(last, hal.ErrLimit) {
		t.Errorf("%d pages, then %v; a circle must be noticed", n, last)
	}
}
