package configsvc_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/goswale/swale/bus/membus"
	"github.com/goswale/swale/configsvc"
	"github.com/goswale/swale/configsvc/server/servertest"
)

func TestWatchIsPushed(t *testing.T) {
	s := servertest.Start(t)
	s.Write("base", `{"pool":5,"timeout":"2s"}`)
	w := watch[settings](t, s.Client("x", nil), "base", "base/orders")
	if got := w.Get(); got.Pool != 5 || got.Timeout.String() != "2s" || got.Log != "info" || got.DB.Host != "localhost" {
		t.Errorf("the configuration, and defaults for the rest: %+v", got)
	}
	changes := make(chan [2]int, 10)
	stop := w.OnChange(func(before, after *settings) { changes <- [2]int{before.Pool, after.Pool} })
	s.Write("base/orders", `{"pool":7}`)
	if got := <-changes; got != [2]int{5, 7} {
		t.Errorf("callbacks get old and new: %v", got)
	}
	if snap := w.Snapshot(); snap.Value.Pool != 7 || snap.Revision != 2 || snap.Layers[1].Version != 2 || snap.FromCopy {
		t.Errorf("a snapshot says where it comes from: %+v", snap)
	}
	s.Write("other", `{}`) // doesn't concern it
	s.Write("base", `{"pool":6,"timeout":"2s"}`)
	if err := w.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop()
	s.Write("base/orders", `{"pool":8}`)
	eventually(t, "the change", func() bool { return w.Get().Pool == 8 })
	if len(changes) != 0 {
		t.Errorf("the layer below is hidden, and after stop nobody is called: %d calls", len(changes))
	}
}

// Users of today's toolkits: deleted keys must go.
func TestDeletedKeysGo(t *testing.T) {
	s := servertest.Start(t)
	s.Write("base", `{"pool":5,"hosts":["a","b"],"db":{"host":"x"}}`)
	s.Write("base/orders", `{"pool":50}`)
	w := watch[settings](t, s.Client("x", nil), "base", "base/orders")
	s.Write("base/orders", "")
	eventually(t, "the layer to go", func() bool { return w.Get().Pool == 5 })
	s.Write("base", `{}`)
	eventually(t, "the keys to go", func() bool { return w.Get().Pool == 10 })
	if got := w.Get(); len(got.Hosts) != 0 || got.DB.Host != "localhost" {
		t.Errorf("what is deleted is as if it had never been: %+v", got)
	}
}

// Users of today's toolkits: keep the last good value on a bad reload, and no
// silent type mismatches.
func TestABadUpdateIsRejectedReportedAndTheGoodOneStays(t *testing.T) {
	s := servertest.Start(t)
	s.Write("base", `{"pool":5}`)
	w := watch[settings](t, s.Client("x", func(o *configsvc.ClientOptions) { o.Service, o.Instance = "orders", "orders-1" }), "base")
	calls := atomic.Int32{}
	w.OnChange(func(_, _ *settings) { calls.Add(1) })
	for _, c := range []struct{ value, why string }{
		{`{"pool":"5"}`, "cannot unmarshal string"},
		{`{"pool":5.5}`, "cannot unmarshal number"},
		{`{"pool":{}}`, "cannot unmarshal object"},
		{`{"pool":500,"log":"loud"}`, "/pool must be at most 100; /log must be one of debug, info, warn"},
		{`{"timeout":"soon"}`, "not a duration"},
		{`{"timeout":"1ms"}`, "/timeout must be at least 10ms"},
		{`{"even":3}`, "even is odd"},
		{`[]`, "cannot unmarshal array"},
	} {
		good := w.Get()
		s.Write("base", c.value)
		if err := w.Refresh(t.Context()); err == nil || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s must be rejected because %q: %v", c.value, c.why, err)
		}
		if w.Get() != good {
			t.Errorf("%s: the good one must stay: %+v", c.value, w.Get())
		}
		status := w.Status()
		if status.Rejected == "" || status.Rejected == status.Hash || status.Err == nil {
			t.Errorf("the status says what is rejected and why: %+v", status)
		}
		eventually(t, "the service to be told", func() bool {
			_, running := s.Request("GET", "/instances", "")
			return strings.Contains(running, `"rejected":"`+status.Rejected+`"`) && strings.Contains(running, `"hash":"`+status.Hash+`"`)
		})
	}
	if calls.Load() != 0 {
		t.Errorf("a rejected update changes nothing, so nobody is called: %d calls", calls.Load())
	}
	s.Write("base", `{"pool":6}`)
	eventually(t, "a good update", func() bool { return w.Get().Pool == 6 })
	eventually(t, "the service to hear of it", func() bool {
		_, running := s.Request("GET", "/instances", "")
		return !strings.Contains(running, "rejected")
	})
	if status := w.Status(); status.Rejected != "" || status.Err != nil {
		t.Errorf("all is well again: %+v", status)
	}
}

type panics struct {
	Pool int `json:"pool"`
}

func (p panics) Validate() error {
	if p.Pool == 13 {
		panic("unlucky")
	}
	return nil
}

func TestNothingThatAProgramPanicsAboutTakesItDown(t *testing.T) {
	s := servertest.Start(t)
	s.Write("base", `{"pool":1}`)
	w := watch[panics](t, s.Client("x", nil), "base")
	w.OnChange(func(_, _ *panics) { panic("in a callback") })
	s.Write("base", `{"pool":13}`)
	if err := w.Refresh(t.Context()); err == nil || !strings.Contains(err.Error(), "unlucky") || w.Get().Pool != 1 {
		t.Errorf("a panic is a rejection: %v, %+v", err, w.Get())
	}
	s.Write("base", `{"pool":2}`)
	eventually(t, "the next update", func() bool { return w.Get().Pool == 2 })
}

func TestPollingFindsWhatNobodyAnnounced(t *testing.T) {
	s := servertest.Start(t)
	s.Write("base", `{"pool":5}`)
	w := watch[settings](t, s.Client("x", func(o *configsvc.ClientOptions) { o.Bus, o.Poll = nil, 20*time.Millisecond }), "base")
	s.Write("base", `{"pool":6}`)
	eventually(t, "the poll", func() bool { return w.Get().Pool == 6 })
	before := s.Asked.Load()
	eventually(t, "some polls", func() bool { return s.Asked.Load() > before+5 })
	if same := s.Unmodified.Load(); same < 4 {
		t.Errorf("polls are conditional requests: %d of %d were answered by 304", same, s.Asked.Load())
	}
}

func TestMissedNoticesAreMadeUpForWhenTheBusIsBack(t *testing.T) {
	s := servertest.Start(t)
	s.Write("base", `{"pool":5}`)
	faults := &membus.Faults{}
	w := watch[settings](t, s.Client("x", func(o *configsvc.ClientOptions) { o.Bus = s.Bus(faults) }), "base")
	s.Write("base", `{"pool":6}`)
	eventually(t, "the notice", func() bool { return w.Get().Pool == 6 })
	faults.Cut()
	s.Write("base", `{"pool":7}`)
	faults.Heal(true)
	eventually(t, "the bus to be back", func() bool { return w.Get().Pool == 7 })
}

// Users of today's toolkits: no data races on reload. The race detector judges.
func TestReadersDuringReload(t *testing.T) {
	s := servertest.Start(t)
	s.Write("base", `{"pool":1,"hosts":["1","1"],"db":{"host":"1"}}`)
	w := watch[settings](t, s.Client("x", nil), "base")
	ctx, cancel := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for ctx.Err() == nil {
				c := w.Get()
				want := fmt.Sprint(c.Pool)
				if c.DB.Host != want || !slices.Equal(c.Hosts, []string{want, want}) {
					t.Errorf("a reader must see one version, whole: %+v", c)
					return
				}
			}
		})
	}
	for i := 2; i <= 60; i++ {
		s.Write("base", fmt.Sprintf(`{"pool":%d,"hosts":["%d","%d"],"db":{"host":"%d"}}`, i, i, i, i))
		if i%10 == 0 {
			eventually(t, "the change", func() bool { return w.Get().Pool == i })
		}
	}
	cancel()
	readers.Wait()
}

func TestAThousandWatchers(t *testing.T) {
	const clients, each = 20, 50
	s := servertest.Start(t)
	s.Write("base", `{"pool":1}`)
	var watchers []*configsvc.Watcher[settings]
	for i := range clients {
		c := s.Client("x", func(o *configsvc.ClientOptions) { o.Service, o.Instance = "orders", fmt.Sprint("orders-", i) })
		for j := range each {
			watchers = append(watchers, watch[settings](t, c, "base", fmt.Sprintf("base/service-%d", j)))
		}
	}
	for version := 2; version <= 4; version++ {
		s.Write("base", fmt.Sprintf(`{"pool":%d}`, version))
		for i, w := range watchers {
			eventually(t, fmt.Sprintf("watcher %d to see version %d", i, version), func() bool { return w.Get().Pool == version })
		}
	}
	s.Write("base/service-7", `{"pool":77}`)
	for i, w := range watchers {
		want := 4
		if i%each == 7 {
			want = 77
		}
		eventually(t, "the one service's watchers", func() bool { return w.Get().Pool == want })
	}
}

func TestEnvironmentOverridesAndIsExplained(t *testing.T) {
	s := servertest.Start(t)
	s.Write("base", `{"pool":5,"db":{"host":"x","password":{"$secret":"hunter2"}}}`)
	c := s.Client("trusted", func(o *configsvc.ClientOptions) {
		o.EnvPrefix, o.Secrets, o.Service, o.Instance = "ORDERS_", true, "orders", "orders-1"
		o.Environ = []string{"ORDERS_POOL=9", "ORDERS_db__host=y", "ORDERS_HOSTS=a, b", "ORDERS_TIMEOUT=3s", "ORDERS_DB__PASSWORD=mine", "PATH=/bin"}
	})
	w := watch[settings](t, c, "base")
	if got := w.Get(); got.Pool != 9 || got.DB.Host != "y" || !slices.Equal(got.Hosts, []string{"a", "b"}) || got.Timeout.String() != "3s" || got.DB.Password != "mine" {
		t.Errorf("the environment overrides: %+v", got)
	}
	explained, err := w.Explain(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, e := range explained {
		line := fmt.Sprintf("%s = %s by %s", e.Path, e.Value, e.Layer)
		for _, o := range e.Overrides {
			line += " over " + o.Layer.String()
		}
		lines = append(lines, line)
	}
	want := []string{
		`/db/host = "y" by environment variables over base (version 1)`,
		`/db/password = {"$redacted":"environment"} by environment variables over base (version 1)`,
		`/hosts = ["a","b"] by environment variables`,
		`/pool = 9 by environment variables over base (version 1)`,
		`/timeout = "3s" by environment variables`,
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("the environment is a layer (-want +got):\n%s", diff)
	}
	eventually(t, "the service to know", func() bool {
		_, running := s.Request("GET", "/instances", "")
		return strings.Contains(running, `"overrides":["/db/password","/hosts","/pool","/timeout","/db/host"]`)
	})
	s.Write("base", `{"pool":6}`)
	if err := w.Refresh(t.Context()); err != nil || w.Get().Pool != 9 {
		t.Errorf("it overrides updates too: %v %+v", err, w.Get())
	}
	for _, bad := range []string{"ORDERS_POL=9", "ORDERS_POOL=many", "ORDERS_POOL__X=1"} {
		c := s.Client("x", func(o *configsvc.ClientOptions) { o.EnvPrefix, o.Environ = "ORDERS_", []string{bad} })
		if _, err := configsvc.Watch[settings](t.Context(), c, "base"); !errors.Is(err, configsvc.ErrEnvironment) || !strings.Contains(err.Error(), "ORDERS_PO") {
			t.Errorf("%s must not be passed over: %v", bad, err)
		}
	}
}

func TestSecretsReachWhoMaySeeThemAndNobodyElse(t *testing.T) {
	s := servertest.Start(t)
	s.Write("base", `{"db":{"password":{"$secret":"hunter2"}}}`)
	dir := t.TempDir()
	w := watch[settings](t, s.Client("trusted", func(o *configsvc.ClientOptions) {
		o.Secrets, o.Dir, o.Service, o.Instance = true, dir, "orders", "orders-1"
	}), "base")
	if got := w.Get().DB.Password; got != "hunter2" {
		t.Errorf("who may see it has it as a string: %q", got)
	}
	if names := files(t, dir); len(names) != 0 {
		t.Errorf("secrets are never written to disk in the clear: %v", names)
	}
	if _, err := configsvc.Watch[settings](t.Context(), s.Client("stranger", func(o *configsvc.ClientOptions) { o.Secrets = true }), "base"); !hasStatus(err, http.StatusForbidden) {
		t.Errorf("who may not is refused: %v", err)
	}
	if _, err := configsvc.Watch[settings](t.Context(), s.Client("stranger", nil), "base"); err == nil || !strings.Contains(err.Error(), "/db/password is a secret") {
		t.Errorf("who doesn't ask is told that it is a secret: %v", err)
	}
	s.Write("base", `{"db":{"password":{"$secret":"hunter2-bad"}}}`)
	err := w.Refresh(t.Context())
	if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "[secret]") {
		t.Errorf("a rejection doesn't tell the secret: %v", err)
	}
	eventually(t, "the report", func() bool {
		_, running := s.Request("GET", "/instances", "")
		return strings.Contains(running, "[secret]")
	})
	_, running := s.Request("GET", "/instances", "")
	if all := s.Log() + running; strings.Contains(all, "hunter2") {
		t.Errorf("no log and no report tells the secret: %s", all)
	}
}

func TestARolloutThatIsRejectedIsTakenBackFromAll(t *testing.T) {
	s := servertest.Start(t)
	s.Write("base", `{"pool":5}`)
	var watchers []*configsvc.Watcher[settings]
	for i := range 6 {
		c := s.Client("x", func(o *configsvc.ClientOptions) { o.Service, o.Instance = "orders", fmt.Sprint("orders-", i) })
		watchers = append(watchers, watch[settings](t, c, "base"))
	}
	status, answer := s.Request("POST", "/rollouts", `{"percent":100,"edits":[{"key":"base","value":{"pool":42},"version":1}]}`)
	if status != http.StatusCreated {
		t.Fatal(answer)
	}
	for _, w := range watchers {
		eventually(t, "the rollout", func() bool { return w.Get().Pool == 42 })
	}
	id := answer[strings.Index(answer, `/rollouts/`)+len(`/rollouts/`):][:10]
	if status, answer := s.Request("POST", "/rollouts/"+id+"/halt", `{}`); status != http.StatusOK {
		t.Fatal(answer)
	}
	for _, w := range watchers {
		eventually(t, "the end of the rollout", func() bool { return w.Get().Pool == 5 })
	}
	if status, answer := s.Request("POST", "/rollouts", `{"percent":100,"edits":[{"key":"base","value":{"pool":4200},"version":1}]}`); status != http.StatusCreated {
		t.Fatal(answer)
	}
	eventually(t, "the rollout to halt by itself", func() bool {
		_, answer := s.Request("GET", "/rollouts", "")
		return strings.Contains(answer, "must be at most 100")
	})
	for _, w := range watchers {
		eventually(t, "all to be well", func() bool { return w.Get().Pool == 5 && w.Status().Rejected == "" })
	}
}

func TestWhoIsGoneSaysSo(t *testing.T) {
	s := servertest.Start(t)
	s.Write("base", `{}`)
	c := s.Client("x", func(o *configsvc.ClientOptions) { o.Service, o.Instance = "orders", "orders-1" })
	w := watch[settings](t, c, "base")
	eventually(t, "the report", func() bool {
		_, running := s.Request("GET", "/instances", "")
		return strings.Contains(running, "orders-1")
	})
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, running := s.Request("GET", "/instances", ""); strings.Contains(running, "orders-1") {
		t.Errorf("who has ended is not shown: %s", running)
	}
	if w.Get().Pool != 10 {
		t.Error("the value stays")
	}
	if err := w.Refresh(t.Context()); !errors.Is(err, configsvc.ErrClosed) {
		t.Errorf("after Close there is nobody to ask: %v", err)
	}
	if _, err := configsvc.Watch[settings](t.Context(), c, "base"); err == nil {
		t.Error("after Close nothing can be watched")
	}
}
