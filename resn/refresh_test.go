package resn_test

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/goswale/swale/bus/membus"
	"github.com/goswale/swale/resn"
)

// reader returns a client of a city whose topic is live.
func reader(t *testing.T, c *city, b *membus.Broker, refresh *resn.RefreshOptions) *resn.Client {
	t.Helper()
	conn := b.Connect(nil)
	client, err := resn.NewClient(conn, &resn.ClientOptions{Transport: c, Refresh: refresh, Guard: &resn.GuardOptions{Retries: -1}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = client.Close(context.Background())
		_ = conn.Shutdown(context.Background())
	})
	if err := client.Listen(t.Context(), cityTopic); err != nil {
		t.Fatal(err)
	}
	<-time.After(time.Second)
	if s := client.Topics()[0]; !s.Live {
		t.Fatalf("the topic isn't live: %+v", s)
	}
	return client
}

func newBrokerCity(t *testing.T, n int) (*membus.Broker, *city) {
	t.Helper()
	broker := membus.NewBroker()
	c := newCity(t, broker.Connect(nil), n)
	t.Cleanup(func() { _ = c.bus.Shutdown(context.Background()) })
	return broker, c
}

func readBy(t *testing.T, client *resn.Client, href string) string {
	t.Helper()
	return (&process{client: client}).read(t, href)
}

func TestRefreshFetchesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker, c := newBrokerCity(t, 3)
		client := reader(t, c, broker, &resn.RefreshOptions{})
		readBy(t, client, at(0))
		readBy(t, client, at(1))
		c.change(t, resn.Update, 1)
		c.change(t, resn.Update, 2)
		time.Sleep(time.Second)
		if c.count(path(1)) != 2 {
			t.Errorf("after a notice the representation that is held is fetched, though nobody reads it: asked %d times", c.count(path(1)))
		}
		if c.count(path(2)) != 0 {
			t.Error("what isn't held isn't fetched")
		}
		if got := readBy(t, client, at(1)); got == "" || c.count(path(1)) != 2 {
			t.Errorf("the next read is answered from the cache: asked %d times", c.count(path(1)))
		}
		if c.count(path(0)) != 1 {
			t.Error("what wasn't named isn't fetched again")
		}
		want := resn.RefreshStats{Held: 2, Notices: 1, Fetched: 1}
		if d := cmp.Diff(want, client.Refreshes()); d != "" {
			t.Errorf("the counts (-want +got):\n%s", d)
		}
	})
}

func TestRefreshFetchesEachVariant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &system{owner: &owner{version: 1}, bus: membus.New(nil)}
		var err error
		s.client, err = resn.NewClient(s.bus, &resn.ClientOptions{Transport: varying{s.owner}, Refresh: &resn.RefreshOptions{}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.stop)
		if err := s.client.Listen(t.Context(), "restaurants"); err != nil {
			t.Fatal(err)
		}
		if s.pub, err = resn.NewPublisher(s.bus, "restaurants", &resn.PublisherOptions{Unowned: true}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		s.speak(t, "en")
		s.speak(t, "fr")
		if err := s.pub.Change(t.Context(), href, s.owner.change); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if n := s.owner.count(); n != 4 {
			t.Errorf("each variant is fetched once: asked %d times", n)
		}
		for _, language := range []string{"en", "fr"} {
			if got := s.speak(t, language); got != "version 2" {
				t.Errorf("%s: %q", language, got)
			}
		}
		if n := s.owner.count(); n != 4 {
			t.Errorf("and read from the cache: asked %d times", n)
		}
	})
}

func TestRefreshCoalescesAndIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n, parallel = 30, 3
		broker, c := newBrokerCity(t, n)
		client := reader(t, c, broker, &resn.RefreshOptions{Parallel: parallel})
		for i := range n {
			readBy(t, client, at(i))
		}
		var mu sync.Mutex
		under, most := 0, 0
		var began []time.Time
		c.mu.Lock()
		c.before = func(ctx context.Context, _ string) {
			mu.Lock()
			under++
			most = max(most, under)
			began = append(began, time.Now())
			mu.Unlock()
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
			mu.Lock()
			under--
			mu.Unlock()
		}
		c.mu.Unlock()
		for range 3 {
			for i := range n {
				c.change(t, resn.Update, i)
			}
		}
		time.Sleep(time.Minute)
		mu.Lock()
		defer mu.Unlock()
		if most != parallel {
			t.Errorf("no more than Parallel fetches are under way, and no fewer: %d", most)
		}
		for i := range n {
			if got := c.count(path(i)); got != 2 {
				t.Errorf("three notices of a resource that come together cause one fetch: %s was asked for %d times", path(i), got-1)
			}
		}
		if s := client.Refreshes(); s.Fetched != n || s.Coalesced != 2*n {
			t.Errorf("the counts: %+v", s)
		}
		if len(began) != n || began[0].Equal(began[1]) {
			t.Errorf("fetches don't all begin at the same moment: %v", began)
		}
	})
}

// A notice that comes while its resource is being fetched causes another fetch.
func TestRefreshWhileRefreshing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker, c := newBrokerCity(t, 1)
		client := reader(t, c, broker, &resn.RefreshOptions{Jitter: -1})
		readBy(t, client, at(0))
		took, goOn := make(chan struct{}), make(chan struct{})
		var once sync.Once
		c.mu.Lock()
		c.before = func(context.Context, string) {
			once.Do(func() {
				close(took)
				<-goOn
			})
		}
		c.mu.Unlock()
		c.change(t, resn.Update, 0)
		<-took
		c.change(t, resn.Update, 0)
		synctest.Wait()
		close(goOn)
		time.Sleep(time.Second)
		if n := c.count(path(0)); n != 3 {
			t.Errorf("what changed while it was fetched is fetched again: asked %d times", n)
		}
		readBy(t, client, at(0))
		if n := c.count(path(0)); n != 3 {
			t.Error("and is in the cache then")
		}
	})
}

func TestRefreshForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker, c := newBrokerCity(t, 5)
		client := reader(t, c, broker, &resn.RefreshOptions{MaxHeld: 3, Topics: func(topic string) bool { return topic == cityTopic }})
		for i := range 5 {
			readBy(t, client, at(i))
		}
		if s := client.Refreshes(); s.Held != 3 || s.Dropped != 2 {
			t.Errorf("the account is bounded: %+v", s)
		}
		c.change(t, resn.Delete, 4)
		c.mu.Lock()
		c.status = func(p string) int {
			if p == path(3) {
				return http.StatusForbidden
			}
			return 0
		}
		c.mu.Unlock()
		c.change(t, resn.Update, 3)
		time.Sleep(time.Second)
		if s := client.Refreshes(); s.Held != 1 || s.Failed != 1 || c.count(path(4)) != 1 {
			t.Errorf("what was deleted isn't fetched, and what is refused isn't fetched again: %+v", s)
		}
	})
}

func TestWarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker, c := newBrokerCity(t, 8)
		conn := broker.Connect(nil)
		client, err := resn.NewClient(conn, &resn.ClientOptions{Transport: c, Guard: &resn.GuardOptions{Retries: -1}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = client.Close(context.Background())
			_ = conn.Shutdown(context.Background())
		})
		c.mu.Lock()
		c.status = func(p string) int {
			if p == path(3) {
				return http.StatusForbidden
			}
			return 0
		}
		c.order = append(c.order, "http://elsewhere.example/secret")
		c.mu.Unlock()
		var pages []int
		got, err := client.Warm(t.Context(), cityList, &resn.WarmOptions{Topics: []string{cityTopic}, OnProgress: func(w resn.Warmth) { pages = append(pages, w.Pages) }})
		if err != nil {
			t.Fatal(err)
		}
		want := resn.Warmth{Live: true, Pages: 3, Items: 7, Failed: 2, Total: 9}
		if d := cmp.Diff(want, got); d != "" || len(pages) != 3 || c.count("/secret") != 0 {
			t.Errorf("what was read (-want +got), reported for pages %v:\n%s", pages, d)
		}
		time.Sleep(time.Minute)
		for i := range 8 {
			if i != 3 {
				readBy(t, client, at(i))
				if n := c.count(path(i)); n != 1 {
					t.Errorf("what was warmed is vouched for when somebody wants it: %s was asked for %d times", path(i), n)
				}
			}
		}
		if _, err := client.Warm(t.Context(), "http://city.example/nothing", nil); err == nil {
			t.Error("a collection that isn't there is an error")
		}
		got, err = client.Warm(t.Context(), cityList, &resn.WarmOptions{MaxItems: 4})
		if err != nil || got.Items+got.Failed != 4 {
			t.Errorf("MaxItems bounds it: %+v, %v", got, err)
		}
	})
}

func TestWarmWithoutALiveTopicGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c := newBrokerCity(t, 2)
		quiet := membus.New(nil)
		client, err := resn.NewClient(quiet, &resn.ClientOptions{Transport: c})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = client.Close(context.Background())
			_ = quiet.Shutdown(context.Background())
		})
		got, err := client.Warm(t.Context(), cityList, &resn.WarmOptions{Topics: []string{cityTopic}})
		if err != nil || got.Live || got.Items != 2 {
			t.Errorf("a topic that doesn't become live is waited for no longer than WaitLive: %+v, %v", got, err)
		}
	})
}
