package hal_test

import (
	"net/http/httptest"
	"testing"

	"github.com/goswale/swale/hal"
)

func TestEmbedsIsAskedFor(t *testing.T) {
	for query, want := range map[string]bool{
		"":                      false,
		"?page=2":               false,
		"?embed=item":           true,
		"?zoom=item":            true,
		"?embed=menu,item":      true,
		"?embed=menu,%20item":   true,
		"?embed=menu&zoom=item": true,
		"?embed=items":          false,
		"?embed=ite":            false,
		"?embed=":               false,
		"?item=embed":           false,
	} {
		if got := hal.Embeds(httptest.NewRequest("GET", "/restaurants"+query, nil), "item"); got != want {
			t.Errorf("%q asks for item to be embedded: %v, want %v; it is off unless the relation is named", query, got, want)
		}
	}
}
