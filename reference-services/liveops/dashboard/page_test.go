package dashboard_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/goswale/swale/hal"
	"github.com/goswale/swale/hal/browsertest"
	"github.com/goswale/swale/reference-services/liveops/dashboard"
	"github.com/goswale/swale/reference-services/riders"
)

// The page shows what there is, keeps itself current, and asks for nothing but what
// changed.
func TestThePageKeepsItselfCurrent(t *testing.T) {
	b := browsertest.Open(t)
	r := start(t)
	r.placed("1", "Alder", 3*time.Minute, 40.72, -73.99)
	r.placed("2", "Birch & Sons", 12*time.Minute, 40.74, -73.98)
	r.orders.set(t, "3", map[string]any{
		"status": "accepted", "placed_at": r.when(30 * time.Minute), "accepted_at": r.when(29*time.Minute + 30*time.Second),
		"restaurant": map[string]string{"name": "Cedar <b>"}, "dropoff": map[string]float64{"lat": 40.70, "lon": -74.01},
	})
	for i := range 12 {
		r.page.Saw("http://riders.example/"+string(rune('a'+i)), 40.70+float64(i%4)/80, -74.01+float64(i%5)/90, time.Now())
	}
	b.Go(r.server.URL + "/live/")
	b.Until(`document.querySelectorAll('#issues li').length === 3 && document.querySelector('#state').textContent === 'live' && document.querySelectorAll('#riders circle').length === 12`)
	if got := b.Eval(`[...document.querySelectorAll('#issues h3')].map((e) => e.textContent).join('\n')`); got != "Not accepted: Birch & Sons critical\nNot accepted: Alder warning\nNot ready: Cedar <b> info" {
		t.Errorf("it shows\n%s", got)
	}
	b.Until(`!document.querySelector('[aria-busy="true"]')`)
	b.CheckAccessible()
	pictures(b)

	// One changes, and one is asked for: unless this process stood still, so that the
	// page couldn't know whether it had missed something. Then it is tried again.
	b.Eval(`void (() => { window.everything = 0; const asked = all; all = () => { everything++; return asked(); }; })()`)
	for try := 1; ; try++ {
		before := b.Eval(`everything + ''`)
		name := fmt.Sprint("Elder ", try)
		r.questions()
		r.orders.set(t, "1", map[string]any{"restaurant": map[string]string{"name": name}})
		b.Until(`[...document.querySelectorAll('#issues h3')].some((e) => e.textContent.includes('` + name + ` '))`)
		asked := r.questions()
		if b.Eval(`everything + ''`) != before {
			continue
		}
		if len(asked) != 1 || slices.Collect(maps.Values(asked))[0] > 2 {
			t.Errorf("of one change the page asked for %v", asked)
		}
		break
	}
	r.orders.set(t, "1", map[string]any{"status": "accepted", "accepted_at": r.when(0)})
	b.Until(`document.querySelectorAll('#issues li').length === 2 && document.querySelector('#resolved').textContent.startsWith('Not accepted: Elder ')`)

	// What is acknowledged goes to the end.
	b.Eval(`[...document.querySelectorAll('#issues button')].find((e) => e.textContent === 'Acknowledge').click()`)
	b.Until(`document.querySelector('#n-acknowledged').textContent === '1' && document.querySelector('#issues li:last-child h3').textContent === 'Not accepted: Birch & Sons critical acknowledged'`)

	// What can be done about the order is asked for twice, done with the version that
	// was read, and refused in its owner's words.
	// Who hesitates is asked again.
	b.Until(`(() => {
		const find = (text) => [...document.querySelectorAll('#issues li:last-child button')].find((e) => e.textContent === text);
		const sure = find('Really cancel order?');
		if (!window.did && sure) { window.did = true; sure.click(); }
		else if (!window.did) find('Cancel order')?.click();
		return window.did && document.querySelector('#said').textContent === 'The kitchen has begun.';
	})()`)
	// And they stay, whatever is heard meanwhile.
	r.orders.set(t, "3", map[string]any{"restaurant": map[string]string{"name": "Dogwood"}})
	b.Until(`[...document.querySelectorAll('#issues h3')].some((e) => e.textContent.includes('Dogwood'))`)
	if got := b.Eval(`document.querySelector('#said').hidden ? '' : document.querySelector('#said').textContent`); got != "The kitchen has begun." {
		t.Errorf("after a notice about something else it says %q", got)
	}
	r.orders.mu.Lock()
	if diff := cmp.Diff([]string{`/cancel/2 "v1"`}, r.orders.posted); diff != "" {
		t.Errorf("what the owner was sent (-want +got):\n%s", diff)
	}
	r.orders.mu.Unlock()
	if trouble := b.Troubles(); len(trouble) > 0 {
		t.Errorf("the browser reports %q", trouble)
	}
}

// pictures are for whoever looks at them: light and dark, wide and narrow.
func pictures(b *browsertest.Browser) {
	for _, scheme := range []string{"light", "dark"} {
		b.Must("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
		b.CheckAccessible()
		b.Screenshot("live-" + scheme)
		b.Must("Emulation.setDeviceMetricsOverride", map[string]any{"width": 380, "height": 1400, "deviceScaleFactor": 1, "mobile": true}, nil)
		b.Until(`document.documentElement.scrollWidth <= 380`)
		b.Screenshot("live-phone-" + scheme)
		b.Must("Emulation.clearDeviceMetricsOverride", nil, nil)
	}
	b.Must("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{}}, nil)
}

// An answer that was sent before a notice came is never shown after it, however
// late it arrives; and until there is one, what is shown says that it may be old.
func TestNothingIsShownThatIsOlderThanItsNotice(t *testing.T) {
	b := browsertest.Open(t)
	r := start(t)
	r.placed("1", "Alder", 3*time.Minute, 40.72, -73.99)
	b.Go(r.server.URL + "/live/")
	b.Until(`document.querySelector('#issues h3')?.textContent === 'Not accepted: Alder warning' && document.querySelector('#state').textContent === 'live' && !document.querySelector('[aria-busy="true"]')`)
	// What the page asks, hears and shows, in this order.
	b.Eval(`void (() => {
		window.log = [];
		const plain = window.fetch, heard = hear, took = take, title = () => document.querySelector('#issues h3')?.textContent;
		window.fetch = (...args) => { if (String(args[0]).startsWith('/issues/') && args[0] !== '/issues/open') log.push('asks'); return plain(...args); };
		hear = (m) => { if (m.event === 'notice') log.push('hears'); heard(m); };
		take = (it, got) => { const before = title(); took(it, got); if (title() !== before) log.push('shows ' + title()); };
	})()`)
	held := make(chan chan struct{})
	enough := make(chan struct{})
	r.mu.Lock()
	r.hold = func(path string) <-chan struct{} {
		if !strings.HasPrefix(path, "/issues/") || path == "/issues/open" {
			return nil
		}
		c := make(chan struct{})
		select {
		case held <- c:
		case <-enough:
			return nil
		}
		return c
	}
	r.mu.Unlock()
	r.orders.set(t, "1", map[string]any{"restaurant": map[string]string{"name": "Birch"}})
	first := <-held
	b.Until(`document.querySelector('#issues li').getAttribute('aria-busy') === 'true'`)
	// It changes once more before the first answer is there. That one goes out when
	// the page has heard of it.
	r.orders.set(t, "1", map[string]any{"restaurant": map[string]string{"name": "Cedar"}})
	b.Until(`log.lastIndexOf('hears') > log.lastIndexOf('asks')`)
	close(first)
	second := <-held
	if got := b.Eval(`document.querySelector('#issues h3').textContent + document.querySelector('#issues li').getAttribute('aria-busy')`); got != "Not accepted: Alder warningtrue" {
		t.Errorf("while the newest is waited for it shows %q", got)
	}
	close(enough) // more may be asked for by now: whenever the page may have missed something
	close(second)
	b.Until(`document.querySelector('#issues h3').textContent === 'Not accepted: Cedar warning'`)
	b.Until(`document.querySelector('#issues li').getAttribute('aria-busy') === 'false'`)
	var asked bool
	log := strings.Split(b.Eval(`log.join('\n')`), "\n")
	for _, event := range log {
		switch event {
		case "asks":
			asked = true
		case "hears":
			asked = false
		default:
			if !asked {
				t.Errorf("it %s and hasn't asked since the last notice:\n%q", event, log)
			}
		}
	}
}

// Without the socket the page says so and asks now and then; when the socket is
// back it goes on where it was.
func TestThePageWithoutItsSocket(t *testing.T) {
	b := browsertest.Open(t)
	r := start(t)
	r.placed("1", "Alder", 3*time.Minute, 40.72, -73.99)
	b.Go(r.server.URL + "/live/")
	b.Until(`document.querySelectorAll('#issues li').length === 1 && document.querySelector('#state').textContent === 'live'`)
	r.serve(nil)
	b.Until(`document.querySelector('#state').className === 'state lost' && /^The connection is lost: asking every \d+ s, last at /.test(document.querySelector('#state').textContent)`)
	r.placed("2", "Birch", 3*time.Minute, 40.73, -73.98)
	b.Until(`document.querySelectorAll('#issues li').length === 2`)
	b.Screenshot("live-lost")
	r.serve(r.open())
	b.Until(`document.querySelector('#state').textContent === 'live'`)
	r.mu.Lock()
	came := r.came[len(r.came)-1]
	r.mu.Unlock()
	if !strings.Contains(came, "last-event-id=live-issues") {
		t.Errorf("it came back with %q; it should say how far it was", came)
	}
	r.orders.set(t, "1", map[string]any{"status": "accepted", "accepted_at": r.when(0)})
	b.Until(`document.querySelectorAll('#issues li').length === 1`)
}

// Over the socket goes that something changed, and nothing of what it became.
func TestNoPayloadReachesThePage(t *testing.T) {
	r := start(t)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.server.URL+"/live/changes?topic=live-issues", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	r.placed("1", "Alder", 3*time.Minute, 40.72, -73.99)
	lines := bufio.NewScanner(resp.Body)
	for event := ""; lines.Scan(); {
		if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
			event = name
		}
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok || event != "notice" {
			continue
		}
		var members map[string]any
		if err := json.Unmarshal([]byte(data), &members); err != nil {
			t.Fatal(err)
		}
		known := []string{"epoch", "etag", "href", "seq", "time", "topic", "type"}
		for name := range members {
			if !slices.Contains(known, name) {
				t.Errorf("a notice has the member %q: %s", name, data)
			}
		}
		if members["href"] == nil {
			t.Errorf("a notice names nothing: %s", data)
		}
		return
	}
	t.Fatal("no notice came: ", lines.Err())
}

func TestWhatThePageMayDo(t *testing.T) {
	r := start(t)
	for query, want := range map[string]int{"?rel=assign&issue=x": http.StatusBadRequest, "?rel=cancel&issue=none": http.StatusNotFound} {
		rec := httptest.NewRecorder()
		r.page.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/live/do"+query, http.NoBody))
		if rec.Code != want {
			t.Errorf("%s gives %d %s; want %d", query, rec.Code, rec.Body, want)
		}
	}
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/live/do?rel=cancel&issue=x", http.NoBody)
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	rec := httptest.NewRecorder()
	r.page.ServeHTTP(rec, req)
	if rec.Code != http.StatusForbidden {
		t.Errorf("a page of another site gets %d", rec.Code)
	}
	rec = httptest.NewRecorder()
	r.page.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/live/", http.NoBody))
	if got := rec.Header().Get("Content-Security-Policy"); got != dashboard.Policy {
		t.Errorf("its policy is %q", got)
	}
}

// A rider is where the newest word says, and nowhere when there was none for long.
func TestRidersFade(t *testing.T) {
	r := start(t)
	now := time.Now()
	stream, err := riders.Positions(t.Context(), r.bus)
	if err != nil {
		t.Fatal(err)
	}
	at := func(rider string, lat float64, ago time.Duration) riders.Position {
		return riders.Position{Links: riders.PositionLinks{Rider: hal.To("http://riders.example/" + rider)}, Lat: lat, At: now.Add(-ago)}
	}
	if err := stream.Publish(t.Context(), at("a", 7, time.Second)); err != nil {
		t.Fatal(err)
	}
	sub, err := r.page.Follow(t.Context(), stream) // which knows the latest of before, too
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Close(context.Background()) }()
	if err := stream.Publish(t.Context(), at("b", 3, time.Hour), at("a", 1, 0), at("a", 2, time.Second)); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); ; {
		rec := httptest.NewRecorder()
		r.page.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/live/riders", http.NoBody))
		var got []struct {
			Rider string
			Lat   float64
		}
		err := json.Unmarshal(rec.Body.Bytes(), &got)
		if err == nil && len(got) == 1 && got[0].Rider == "http://riders.example/a" && got[0].Lat == 1 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("riders are %s, %v", rec.Body, err)
		}
		<-time.After(5 * time.Millisecond)
	}
}
