package nplusone_test

import (
	"context"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/goswale/swale/bus/membus"
	"github.com/goswale/swale/reference-services/internal/nplusone"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// measure takes the figures, once more if they are not enough: two seconds in which
// the machine did something else measured nothing.
func measure(t *testing.T, announce bool, enough func(*nplusone.Report) bool) (*nplusone.Report, *owner) {
	t.Helper()
	for range 20 {
		if report, o := measureOnce(t, announce); enough(report) {
			return report, o
		}
	}
	return measureOnce(t, announce)
}

func measureOnce(t *testing.T, announce bool) (*nplusone.Report, *owner) {
	t.Helper()
	b := membus.New(nil)
	t.Cleanup(func() {
		if err := b.Shutdown(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	o := newOwner(t, b, 20, announce)
	report, err := nplusone.Run(t.Context(), nplusone.Options{Root: o.URL, Bus: b, Items: 20, Duration: 2 * time.Second, Rate: 100})
	if err != nil {
		t.Fatal(err)
	}
	return report, o
}

func TestFourWays(t *testing.T) {
	report, o := measure(t, true, func(r *nplusone.Report) bool { return r.Updates >= 20 && r.Of(nplusone.MaxAge).StaleAfterNotice > 0 })
	for _, name := range []string{nplusone.None, nplusone.ETag, nplusone.MaxAge, nplusone.RESN} {
		f := report.Of(name)
		t.Logf("%+v", f)
		if f.Pages == 0 || f.ItemsShown != f.Pages*20 || f.Errors != 0 {
			t.Errorf("%s: %d pages with %d items and %d errors; every page has 20 items", name, f.Pages, f.ItemsShown, f.Errors)
		}
	}
	if report.Updates < 20 {
		t.Errorf("%d updates in 2 s at 100 a second; the stream must not stop", report.Updates)
	}
	for _, name := range []string{nplusone.None, nplusone.ETag} {
		f := report.Of(name)
		if f.RequestsPerPage != 21 {
			t.Errorf("%s: %v requests per page; each of 21 documents is asked for", name, f.RequestsPerPage)
		}
		if f.StaleItemsShown != 0 {
			t.Errorf("%s: %d stale items; who always asks never shows one", name, f.StaleItemsShown)
		}
	}
	if f := report.Of(nplusone.MaxAge); f.StaleItemsShown == 0 || f.StaleAfterNotice == 0 || f.StalenessMax == 0 {
		t.Errorf("max-age showed nothing stale: %+v; under this stream of updates the measurement must find some", f)
	}
	f := report.Of(nplusone.RESN)
	if f.StaleAfterNotice != 0 {
		t.Errorf("resn: %d items were stale after their notice had been taken in; there must be none", f.StaleAfterNotice)
	}
	// How many that is per page depends on how many pages the machine makes between
	// two changes.
	if asked, most := f.RequestsPerPage*float64(f.Pages), 2*report.Updates+21; asked > float64(most) {
		t.Errorf("resn: %v requests for %d updates; a notice costs two at most, for its restaurant and the list", asked, report.Updates)
	}
	if f.QuietPageRequests > 1 {
		t.Errorf("resn: up to %d requests when nothing changed; at most 1 of those is allowed", f.QuietPageRequests)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for i, name := range o.names {
		if want := "Bistro " + string(rune('0'+i%10)); i < 10 && name != want {
			t.Errorf("restaurant %d is called %q afterwards; the demo must give names back", i, name)
		}
	}
}

// The measurement is worth something only if it finds out an owner that
// breaks its promise.
func TestAnOwnerThatDoesNotAnnounceIsFoundOut(t *testing.T) {
	report, _ := measure(t, false, func(r *nplusone.Report) bool { return r.Of(nplusone.RESN).StalenessMax >= 100 })
	f := report.Of(nplusone.RESN)
	if f.StaleItemsShown == 0 || f.StalenessMax < 100 {
		t.Errorf("resn against an owner that tells nobody: %+v; it must come out as stale as it is", f)
	}
	if f.StaleAfterNotice != 0 {
		t.Errorf("%d items stale after notice, and there were no notices", f.StaleAfterNotice)
	}
}
