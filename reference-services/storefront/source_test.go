package storefront

import (
	"net/http"
	"testing"
	"time"
)

func TestCacheStatusSaysWhereAnAnswerCameFrom(t *testing.T) {
	for _, c := range []struct {
		status []string
		want   reading
	}{
		{nil, reading{source: Fetched, asked: true}},
		{[]string{`Swale; fwd=uri-miss; stored`}, reading{source: Fetched, asked: true}},
		{[]string{`Swale; fwd=stale; fwd-status=304`}, reading{source: Revalidated, asked: true}},
		{[]string{`Swale; hit; ttl=3`}, reading{source: Cached}},
		{[]string{`Swale; hit; detail=vouched`}, reading{source: Cached, vouched: true}},
		{[]string{`edge; hit, Swale; fwd=uri-miss`}, reading{source: Fetched, asked: true}},
		{[]string{`"a, b"; fwd=uri-miss; detail="x;y", Swale; hit; detail=vouched`}, reading{source: Cached, vouched: true}},
		{[]string{`Swale; hit; detail=stale-if-error`}, reading{source: Stale}},
	} {
		if got := readStatus(http.Header{"Cache-Status": c.status}); got != c.want {
			t.Errorf("Cache-Status %q is read as %+v, want %+v", c.status, got, c.want)
		}
	}
	got := readStatus(http.Header{"Cache-Status": {"Swale; hit; detail=stale-if-error"}, "Age": {"42"}})
	if got.age != 42*time.Second {
		t.Errorf("age = %v; the Age field says 42 seconds", got.age)
	}
}
