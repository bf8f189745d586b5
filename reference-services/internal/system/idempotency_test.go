package system

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/goswale/swale/service"
)

// made is an answer to a POST.
type made struct {
	Status                         int
	Location, ETag, Body, Replayed string
}

func post(t *testing.T, url, key, body string) made {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(service.IdempotencyKeyHeader, key)
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return made{resp.StatusCode, resp.Header.Get("Location"), resp.Header.Get("ETag"), string(text), resp.Header.Get("Idempotent-Replayed")}
}

// A client that got no answer sends its POST again, to the process or to the next
// one: it gets the first answer, and there is one restaurant.
func TestARestaurantIsMadeOnce(t *testing.T) {
	opts := Options{Data: t.TempDir(), Listen: "127.0.0.1:0", City: 3, NoStorefront: true, AdminListen: "off"}
	const dumplings, pasta = `{"name":"Dumplings","location":{"lat":40.7,"lon":-74},"status":"open"}`, `{"name":"Pasta","location":{"lat":40.7,"lon":-74},"status":"open"}`
	var first made
	for _, start := range []string{"first", "second"} {
		s, err := Start(t.Context(), opts)
		if err != nil {
			t.Fatal(err)
		}
		url := s.RestaurantsURL + "restaurants"
		if start == "first" {
			if first = post(t, url, "k1", dumplings); first.Status != http.StatusCreated || first.Replayed != "" || first.Location == "" {
				t.Errorf("the first answer is %+v", first)
			}
			first.Replayed = "true"
		}
		if diff := cmp.Diff(first, post(t, url, "k1", dumplings)); diff != "" {
			t.Errorf("sent again to the %s process (-first +again):\n%s", start, diff)
		}
		if other := post(t, url, "k1", pasta); other.Status != http.StatusUnprocessableEntity {
			t.Errorf("another restaurant under the same key: %+v", other)
		}
		if n := s.Restaurants; start == "second" && n != 4 {
			t.Errorf("%d restaurants, want the city's 3 and one", n)
		}
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	}
}
