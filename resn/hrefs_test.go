package resn_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/goswale/swale/resn"
)

// A notice may name a collection, or a page of it: it ends everything under its
// path, whatever the query.
func TestANoticeOfACollectionEndsItsPages(t *testing.T) {
	const collection = "http://owner.example/restaurants"
	for _, noticed := range []string{collection, collection + "?near=u173z&size=50"} {
		synctest.Test(t, func(t *testing.T) {
			s := start(t)
			get := func(href string) {
				t.Helper()
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, href, http.NoBody)
				if err != nil {
					t.Fatal(err)
				}
				resp, err := s.client.HTTP().Do(req)
				if err != nil {
					t.Fatal(err)
				}
				_ = resp.Body.Close()
			}
			pages := []string{collection, collection + "?near=u173z&size=50", collection + "?page=2"}
			others := []string{collection + "/203", "http://owner.example/orders"}
			for range 2 {
				for _, href := range append(pages, others...) {
					get(href)
				}
			}
			before := s.owner.count()
			if before != len(pages)+len(others) {
				t.Fatalf("%d requests for %d resources: what is vouched for is asked for once", before, len(pages)+len(others))
			}
			err := s.pub.Change(t.Context(), noticed, func(context.Context) (string, string, error) { return resn.Update, "", nil })
			if err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			for _, href := range others {
				get(href)
			}
			if n := s.owner.count(); n != before {
				t.Errorf("a notice of %s ends other resources, too: %d were asked for again", noticed, n-before)
			}
			for i, href := range pages {
				get(href)
				if n := s.owner.count(); n != before+i+1 {
					t.Errorf("after a notice of %s what is stored of %s is reused", noticed, href)
				}
			}
		})
	}
}
