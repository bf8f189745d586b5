package browser_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/resn"
	"github.com/goswale/swale/resn/browser"
)

func wantMessages(t *testing.T, rule string, p *page, want ...string) {
	t.Helper()
	synctest.Wait()
	if diff := cmp.Diff(append([]string{}, want...), p.got()); diff != "" {
		t.Errorf("%s:\n%s", rule, diff)
	}
}

func TestNoticesByServerSentEvents(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, nil, "dishes", "others")
		p := visit(r.h, "topic=dishes")
		defer p.close()
		synctest.Wait()
		r.watermark()
		wantMessages(t, "the first watermark makes a topic live", p, "lost dishes", "live dishes")
		r.change(1)
		r.change(2)
		r.plain("others", 3)
		wantMessages(t, "a page hears of its topics and no others", p, "lost dishes", "live dishes", "update /dishes/1", "update /dishes/2")
		if got := p.header.Get("Content-Type"); got != "text/event-stream; charset=utf-8" {
			t.Errorf("Content-Type is %q", got)
		}
		if got := p.header.Get("Cache-Control"); !strings.Contains(got, "no-store") {
			t.Errorf("Cache-Control is %q", got)
		}
	})
}

// What came while a page was away is replayed.
func TestResumeReplays(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, nil)
		p := visit(r.h, "topic=dishes")
		synctest.Wait()
		r.change(1)
		r.watermark()
		synctest.Wait()
		p.close()
		r.change(2)
		r.change(3)
		synctest.Wait()
		again := visit(r.h, back(p.id()))
		defer again.close()
		wantMessages(t, "what came meanwhile is replayed, and nothing else", again, "update /dishes/2", "update /dishes/3", "live dishes")
		// EventSource sends it as a header.
		header := visit(r.h, "topic=dishes", "Last-Event-ID", p.id())
		defer header.close()
		wantMessages(t, "the header means the same", header, "update /dishes/2", "update /dishes/3", "live dishes")
	})
}

// A page that was away for too long is told to start over, never left to think
// that nothing happened.
func TestResumeBeyondTheBufferResets(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, &browser.Options{Replay: 4})
		p := visit(r.h, "topic=dishes")
		synctest.Wait()
		r.change(0)
		r.watermark()
		synctest.Wait()
		p.close()
		for n := range 20 {
			r.change(n)
		}
		synctest.Wait()
		again := visit(r.h, back(p.id()))
		defer again.close()
		wantMessages(t, "what isn't kept any more is a reset", again, "reset dishes", "live dishes")
		for name, id := range map[string]string{"garbage": "%%%", "another topic's": "x=1.e1", "unknown": "dishes=7.another", "empty": "dishes=0."} {
			p := visit(r.h, back(id))
			wantMessages(t, "an id that is "+name+" is a reset", p, "reset dishes", "live dishes")
			p.close()
		}
	})
}

// Ids of numbered topics hold at another server and across a restart.
func TestIdsHoldAcrossReplicas(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, nil)
		other := r.open(r.owners, nil, "dishes")
		p := visit(r.h, "topic=dishes")
		synctest.Wait()
		r.change(1)
		r.watermark()
		synctest.Wait()
		p.close()
		r.change(2)
		synctest.Wait()
		again := visit(other, back(p.id()))
		defer again.close()
		wantMessages(t, "another server replays what came", again, "update /dishes/2", "live dishes")

		// A server that begins now knows nothing yet; the next watermark tells.
		late := r.open(r.owners, nil, "dishes")
		upToDate, behind := visit(late, back(again.id())), visit(late, back(p.id()))
		defer upToDate.close()
		defer behind.close()
		time.Sleep(time.Second)
		r.watermark()
		wantMessages(t, "a page that missed nothing goes on without a reset", upToDate, "live dishes")
		wantMessages(t, "a page that missed something is told", behind, "reset dishes", "live dishes")
		r.change(3)
		wantMessages(t, "it goes on", upToDate, "live dishes", "update /dishes/3")
	})
}

// Where nobody can tell, a page is reset after a while.
func TestResumeOfUnnumberedTopics(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, nil)
		p := visit(r.h, "topic=dishes")
		synctest.Wait()
		r.plain("dishes", 1)
		synctest.Wait()
		p.close()
		r.plain("dishes", 2)
		synctest.Wait()
		again := visit(r.h, back(p.id()))
		wantMessages(t, "the process that gave the id can tell", again, "update /dishes/2", "lost dishes")
		again.close()
		other := r.open(r.owners, nil, "dishes")
		elsewhere := visit(other, back(p.id()))
		defer elsewhere.close()
		wantMessages(t, "another can't", elsewhere, "reset dishes", "lost dishes")
		numbered := visit(other, back("dishes=7.e1"))
		defer numbered.close()
		wantMessages(t, "a number may still be told about", numbered)
		time.Sleep(3 * time.Second)
		wantMessages(t, "but not for ever", numbered, "reset dishes", "lost dishes")
	})
}

// Holes, new epochs and numbers that go backwards are resets.
func TestLossIsAReset(t *testing.T) {
	for name, loss := range map[string]func(r *rig){
		"hole before a notice":     func(r *rig) { r.seq++; r.change(2) },
		"hole before a watermark":  func(r *rig) { r.seq++; r.watermark() },
		"epoch with a notice":      func(r *rig) { r.epoch = "e2"; r.seq = 0; r.change(2) },
		"epoch with a watermark":   func(r *rig) { r.epoch = "e2"; r.seq = 0; r.watermark() },
		"watermark goes backwards": func(r *rig) { time.Sleep(time.Second); r.seq = 0; r.watermark() },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, nil)
				p := visit(r.h, "topic=dishes")
				defer p.close()
				synctest.Wait()
				r.change(1)
				r.watermark()
				synctest.Wait()
				before := len(p.got())
				loss(r)
				synctest.Wait()
				if got := p.got()[before:]; len(got) == 0 || got[0] != "reset dishes" {
					t.Errorf("the page is told to start over, got %v", got)
				}
			})
		})
	}
}

// Repeats are not told twice, and those of an ended epoch reset nobody.
func TestRepeatsAreDropped(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, nil)
		p := visit(r.h, "topic=dishes")
		defer p.close()
		synctest.Wait()
		r.change(1)
		r.seq--
		r.change(1)
		old := resn.Event{Topic: "dishes", Type: resn.Update, Href: href(9), Time: time.Now().Add(-time.Hour), Seq: 5, Epoch: "e0"}
		r.watermark()
		synctest.Wait()
		r.publish("dishes", old.CloudEvent("/o"))
		wantMessages(t, "a repeat of an ended epoch is told and changes nothing else", p, "lost dishes", "update /dishes/1", "live dishes", "update /dishes/9")
	})
}

// The page sees whether every change is being heard.
func TestLiveAndLost(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, nil)
		p := visit(r.h, "topic=dishes")
		defer p.close()
		synctest.Wait()
		r.watermark()
		time.Sleep(1900 * time.Millisecond)
		wantMessages(t, "live within the lease", p, "lost dishes", "live dishes")
		time.Sleep(200 * time.Millisecond)
		wantMessages(t, "silence is lost when the lease ends", p, "lost dishes", "live dishes", "lost dishes")
		r.watermark()
		wantMessages(t, "and live again with the next watermark", p, "lost dishes", "live dishes", "lost dishes", "live dishes")
		r.faults.Cut()
		wantMessages(t, "a lost connection is lost at once", p, "lost dishes", "live dishes", "lost dishes", "live dishes", "lost dishes")
		r.change(1)
		r.faults.Heal(true)
		r.watermark()
		synctest.Wait()
		got := p.got()[5:]
		if diff := cmp.Diff([]string{"reset dishes", "live dishes"}, got); diff != "" {
			t.Errorf("what the bus lost is a reset:\n%s", diff)
		}
		future := resn.Watermark{Topic: "dishes", Epoch: r.epoch, Seq: r.seq, Time: time.Now().Add(time.Minute)}
		r.publish("dishes", future.CloudEvent("/o"))
		synctest.Wait()
		if got := p.got(); got[len(got)-1] != "lost dishes" {
			t.Errorf("a clock that is ahead isn't believed: %v", got)
		}
	})
}

// A hole in a topic without numbers is known only to the bus.
func TestUnnumberedHoleIsAReset(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, nil)
		p := visit(r.h, "topic=dishes")
		defer p.close()
		synctest.Wait()
		r.plain("dishes", 1)
		synctest.Wait()
		r.faults.Cut()
		r.plain("dishes", 2)
		r.faults.Heal(true)
		synctest.Wait()
		if got := strings.Join(p.got(), ", "); !strings.Contains(got, "reset dishes") {
			t.Errorf("the page isn't told to start over: %s", got)
		}
	})
}

// While a page takes nothing, notices of one href become one.
func TestSlowPageGetsOnePerHref(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, nil)
		p := visit(r.h, "topic=dishes")
		defer p.close()
		synctest.Wait()
		r.watermark()
		synctest.Wait()
		loose := p.stick()
		for n := range 100 {
			r.change(n % 3)
			synctest.Wait()
		}
		loose()
		synctest.Wait()
		got := p.got()[2:]
		if len(got) > 4 || got[len(got)-1] != "update /dishes/0" {
			t.Errorf("100 changes of 3 dishes became %d notices: %v", len(got), got)
		}
		if s := r.h.Stats(); s.Coalesced < 90 {
			t.Errorf("counted %d", s.Coalesced)
		}
	})
}

// A page that falls out of the buffer is reset, and not forgotten.
func TestSlowPageIsReset(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, &browser.Options{Replay: 8, WriteTimeout: time.Hour})
		p := visit(r.h, "topic=dishes")
		defer p.close()
		synctest.Wait()
		r.watermark()
		synctest.Wait()
		loose := p.stick()
		for n := range 100 {
			r.change(n)
			synctest.Wait()
		}
		loose()
		synctest.Wait()
		if got := strings.Join(p.got(), ", "); !strings.HasSuffix(got, "reset dishes") {
			t.Errorf("a page that is a hundred notices behind with a buffer of 8 is reset: %s", got)
		}
		r.change(500)
		synctest.Wait()
		if got := p.got(); got[len(got)-1] != "update /dishes/500" {
			t.Errorf("it goes on: %v", got)
		}
	})
}

// A page that takes nothing at all is disconnected, and holds up no other.
func TestStuckPageIsDisconnected(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, nil)
		stuck, well := visit(r.h, "topic=dishes"), visit(r.h, "topic=dishes")
		defer well.close()
		synctest.Wait()
		r.watermark()
		synctest.Wait()
		defer stuck.stick()()
		r.change(1)
		wantMessages(t, "another page gets its notices meanwhile", well, "lost dishes", "live dishes", "update /dishes/1")
		time.Sleep(11 * time.Second)
		select {
		case <-stuck.done:
		default:
			t.Error("a page that takes nothing for 10 s is still connected")
		}
		if s := r.h.Stats(); s.Dropped != 1 || s.Connections != 1 {
			t.Errorf("%+v", s)
		}
	})
}

func TestAuthorization(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, &browser.Options{
			Authorize: func(q *http.Request, topic string) error {
				if q.Header.Get("Cookie") != "ada" && topic == "secrets" {
					return errNo
				}
				return nil
			},
			Visible: func(q *http.Request, n resn.Event) bool {
				return q.Header.Get("Cookie") == "ada" || n.Href != href(7)
			},
		}, "dishes", "secrets")
		for query, status := range map[string]int{"topic=dishes": 200, "topic=secrets": 403, "topic=dishes&topic=secrets": 403, "topic=nowhere": 404, "": 400} {
			p := visit(r.h, query)
			synctest.Wait()
			if p.status != status {
				t.Errorf("%q is answered %d, want %d", query, p.status, status)
			}
			p.close()
		}
		ada, bob := visit(r.h, "topic=dishes&topic=secrets", "Cookie", "ada"), visit(r.h, "topic=dishes", "Cookie", "bob")
		defer ada.close()
		defer bob.close()
		synctest.Wait()
		r.plain("dishes", 7)
		r.plain("dishes", 8)
		r.plain("secrets", 9)
		wantMessages(t, "each page gets what it may see", bob, "lost dishes", "update /dishes/8")
		synctest.Wait()
		if got := strings.Join(ada.got(), ", "); !strings.Contains(got, "/dishes/7") || !strings.Contains(got, "/dishes/9") {
			t.Errorf("ada may see all: %s", got)
		}
	})
}

func TestOrigin(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, &browser.Options{Origins: []string{"https://app.example", "https://*.apps.example"}})
		for origin, status := range map[string]int{
			"": 200, "http://example.com": 200, "https://app.example": 200, "https://a.apps.example": 200,
			"http://app.example": 403, "https://evil.example": 403, "https://apps.example": 403, "null": 403, "https://app.example.evil.example": 403,
		} {
			for _, upgrade := range []string{"", "websocket"} {
				if upgrade != "" && status == 200 {
					status = 426 // let in, and no WebSocket request otherwise
				}
				p := visit(r.h, "topic=dishes", "Origin", origin, "Upgrade", upgrade)
				synctest.Wait()
				if p.status != status {
					t.Errorf("origin %q, upgrade %q is answered %d, want %d", origin, upgrade, p.status, status)
				}
				p.close()
			}
		}
	})
}

func TestLimits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, &browser.Options{MaxConnections: 3, MaxPerClient: 2, ClientOf: func(r *http.Request) string { return r.Header.Get("Cookie") }})
		var open []*page
		for _, step := range []struct {
			who    string
			status int
		}{{"ada", 200}, {"ada", 200}, {"ada", 429}, {"bob", 200}, {"eve", 503}} {
			p := visit(r.h, "topic=dishes", "Cookie", step.who)
			synctest.Wait()
			if p.status != step.status {
				t.Errorf("%s is answered %d, want %d", step.who, p.status, step.status)
			}
			open = append(open, p)
		}
		for _, p := range open {
			p.close()
		}
		p := visit(r.h, "topic=dishes", "Cookie", "eve")
		synctest.Wait()
		if p.status != 200 {
			t.Errorf("places that were left are free: %d", p.status)
		}
		p.close()
		if s := r.h.Stats(); s.Refused != 2 || s.Connections != 0 {
			t.Errorf("%+v", s)
		}
		r.shut(r.h)
		if p := visit(r.h, "topic=dishes"); true {
			<-p.done
			if p.status != 503 {
				t.Errorf("after Shutdown: %d", p.status)
			}
		}
	})
}

// A connection ends when it is old, and shows life until then.
func TestHeartbeatAndAge(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, &browser.Options{Heartbeat: 10 * time.Second, MaxAge: time.Minute})
		p := visit(r.h, "topic=dishes")
		time.Sleep(59 * time.Second)
		beats := 0
		for _, m := range p.messages() {
			if m.event == "heartbeat" {
				beats++
			}
		}
		if beats != 5 {
			t.Errorf("%d heartbeats in 59 s", beats)
		}
		time.Sleep(2 * time.Second)
		select {
		case <-p.done:
		default:
			t.Error("after MaxAge the connection stands")
		}
	})
}

// Payloads never reach a page.
func TestNoPayloads(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, nil)
		p := visit(r.h, "topic=dishes")
		defer p.close()
		synctest.Wait()
		e := resn.Event{Topic: "dishes", Type: resn.Update, Href: href(1)}.CloudEvent("/o")
		e.Data = []byte(`{"price":9}`)
		r.publish("dishes", e)
		r.publish("dishes", bus.Event{Type: "other", Source: "/o", Data: []byte(`{"price":9}`)})
		r.publish("dishes", bus.Event{Type: "plain", Source: "/o", Data: []byte(`{"topic":"dishes","type":"update","href":"https://api.example/dishes/2","price":9}`)})
		wantMessages(t, "a notice with a payload is refused, a bare one stripped", p, "lost dishes", "update /dishes/2")
		for _, m := range p.messages() {
			if strings.Contains(m.data, "price") {
				t.Errorf("a payload reached the page: %s", m.data)
			}
		}
	})
}

// Shutdown ends every connection, and nothing is left.
func TestShutdown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, nil)
		pages := make([]*page, 20)
		for i := range pages {
			pages[i] = visit(r.h, "topic=dishes")
		}
		synctest.Wait()
		r.shut(r.h)
		for _, p := range pages {
			<-p.done
		}
	})
}

// However often a page and the bus break off, what the page believes is true:
// after each change it hears the change, or is told to start over.
func TestAPageNeverMissesAChange(t *testing.T) {
	for seed := range uint64(1000) {
		bubble(t, func(t *testing.T) { wander(t, seed) })
	}
}

// world is what a wander changes and what a page knows of it.
type world struct {
	*rig
	p       *page
	changed map[string]int // by href: the last change
	known   map[string]int // what the page knows of
	seqs    map[string]uint64
	seen    int // messages of p
	id      string
}

// change announces a numbered change in one of two topics.
func (w *world) change(rnd *rand.Rand, n int) {
	topic := []string{"dishes", "drinks"}[rnd.IntN(2)]
	href := fmt.Sprintf("https://api.example/%s/%d", topic, rnd.IntN(4))
	w.changed[href] = n
	w.seqs[topic]++
	w.publish(topic, resn.Event{Topic: topic, Type: resn.Update, Href: href, Time: time.Now(), Seq: w.seqs[topic], Epoch: "e1"}.CloudEvent("/o"))
}

func (w *world) watermarks() {
	for topic, seq := range w.seqs {
		w.publish(topic, resn.Watermark{Topic: topic, Epoch: "e1", Seq: seq, Time: time.Now()}.CloudEvent("/o"))
	}
}

// learn takes what came, less some of the last messages that got lost on the
// way.
func (w *world) learn(less int) {
	synctest.Wait()
	all := w.p.messages()
	for _, m := range all[w.seen:max(w.seen, len(all)-less)] {
		if w.id == "" { // it is new, and fetches what it shows
			maps.Copy(w.known, w.changed)
		}
		var d struct{ Topic, Href string }
		if err := json.Unmarshal([]byte(m.data), &d); err != nil {
			w.t.Fatal(err)
		}
		switch m.event {
		case "notice":
			w.known[d.Href] = w.changed[d.Href] // it fetches
		case "reset":
			for href, n := range w.changed {
				if strings.Contains(href, d.Topic) {
					w.known[href] = n
				}
			}
		}
		if m.id != "" {
			w.id = m.id
		}
	}
	w.seen = len(all)
}

func wander(t *testing.T, seed uint64) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(seed, 1))
	opts := &browser.Options{Replay: 6}
	r := newRig(t, opts, "dishes", "drinks")
	servers := []*browser.Handler{r.h, r.open(r.owners, opts, "dishes", "drinks")}
	w := &world{rig: r, changed: map[string]int{}, known: map[string]int{}, seqs: map[string]uint64{"dishes": 0, "drinks": 0}}
	const query = "topic=dishes&topic=drinks"
	w.p = visit(servers[0], query)
	for n := range 60 {
		switch rnd.IntN(10) {
		case 0, 1, 2, 3, 4:
			w.change(rnd, n+1)
		case 5:
			w.watermarks()
		case 6:
			w.learn(0)
		case 7: // the page goes, and comes back to one of the servers
			w.learn(rnd.IntN(4))
			w.p.close()
			w.p, w.seen = visit(servers[rnd.IntN(2)], query+"&last-event-id="+url.QueryEscape(w.id)), 0
		case 8:
			r.faults.Cut()
		case 9:
			r.faults.Heal(rnd.IntN(2) == 0)
		}
	}
	r.faults.Heal(true)
	synctest.Wait()
	w.watermarks()
	time.Sleep(3 * time.Second)
	w.watermarks()
	w.learn(0)
	w.p.close()
	if diff := cmp.Diff(w.changed, w.known); diff != "" {
		t.Errorf("seed %d: the page believes something that isn't so:\n%s\n%v", seed, diff, w.p.got())
	}
}

func ExampleOpen_unknownTopics() {
	_, err := browser.Open(context.Background(), nil, nil, nil)
	fmt.Println(err)
	// Output: browser: no topics were given; pages could hear of nothing
}
