package liveops_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/reference-services/liveops"
)

func TestWhatIsDoneAboutAnIssue(t *testing.T) {
	bubble(t, oneRule, func(t *testing.T, r *rig) {
		r.placed("1", nil)
		r.until(3 * time.Minute)
		i := r.only()
		if resp, _ := r.do(http.MethodPost, i.link("resolve"), ""); resp.Code != http.StatusPreconditionRequired {
			t.Errorf("without a condition it is %d", resp.Code)
		}
		if resp, _ := r.do(http.MethodPost, i.link("resolve"), `"v0-other"`); resp.Code != http.StatusPreconditionFailed {
			t.Errorf("of another version it is %d", resp.Code)
		}
		resp, done := r.do(http.MethodPost, i.link("resolve"), i.etag)
		if resp.Code != http.StatusOK || done.Status != "resolved" || done.ResolvedBy != "operator" || done.etag == i.etag {
			t.Fatalf("resolving gives %d %+v", resp.Code, done.Issue)
		}
		// The trouble goes on, and is heard of; an operator's word holds.
		r.order("1", map[string]any{"total_cents": 1})
		r.until(6 * time.Minute)
		r.wants("what an operator has resolved stays so")
		if resp, _ := r.do(http.MethodPost, i.link("acknowledge"), done.etag); resp.Code != http.StatusConflict {
			t.Errorf("there is nothing to acknowledge, and it is %d", resp.Code)
		}
		if resp, _ := r.do(http.MethodGet, liveAt+"/issues/none", ""); resp.Code != http.StatusNotFound {
			t.Errorf("an issue that isn't there is %d", resp.Code)
		}
		req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, i.link("acknowledge"), http.NoBody)
		req.Header.Set("Origin", "http://evil.example")
		rec := httptest.NewRecorder()
		r.live.Handler().ServeHTTP(rec, req)
		if rec.Code != http.StatusForbidden {
			t.Errorf("a page of another site gets %d", rec.Code)
		}
	})
}

// Each change is announced with the version that it made, and caches hold what they
// have until then.
func TestChangesOfIssuesAreAnnounced(t *testing.T) {
	bubble(t, oneRule, func(t *testing.T, r *rig) {
		var heard []string
		sub, err := r.bus.Broadcast(t.Context(), liveops.Topic, bus.BroadcastHandler{Event: func(e bus.Event) {
			if e.Type != "resn.watermark" {
				heard = append(heard, e.Type+" "+e.Subject+" "+e.Extension("etag"))
			}
		}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = sub.Close(t.Context()) }()
		r.placed("1", nil)
		r.until(3 * time.Minute)
		i := r.only()
		r.do(http.MethodPost, i.link("acknowledge"), i.etag)
		r.settle()
		now := r.only()
		want := []string{"resn.create " + i.link("self") + " " + i.etag, "resn.update " + i.link("self") + " " + now.etag}
		if strings.Join(heard, "\n") != strings.Join(want, "\n") {
			t.Errorf("heard %q; want %q", heard, want)
		}
		resp, _ := r.do(http.MethodGet, liveAt+"/issues/open", "")
		if got := resp.Header().Get("Cache-Control") + " " + resp.Header().Get("Cache-Groups"); got != `max-age=5, stale-if-error=3600, resn="live-issues" "live-issues"` {
			t.Errorf("a list says %s", got)
		}
		resp, _ = r.do(http.MethodGet, liveAt+"/", "")
		if resp.Code != http.StatusOK {
			t.Errorf("the root is %d", resp.Code)
		}
	})
}
