package liveops_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/goswale/swale/bus/membus"
	"github.com/goswale/swale/configsvc"
	"github.com/goswale/swale/configsvc/memconfig"
	"github.com/goswale/swale/configsvc/server"
	"github.com/goswale/swale/configsvc/store"
	"github.com/goswale/swale/reference-services/liveops"
	"github.com/goswale/swale/reference-services/restaurants"
	"github.com/goswale/swale/resn"
)

// invalid are documents that are refused, and what is said of them. Those of
// which only the engine knows that they are wrong fit the schema.
var invalid = []struct {
	name, text, says string
	fits             bool
}{
	{"no JSON", `{"rules":`, "unexpected EOF", false},
	{"no rules", `{}`, `/rules is missing`, false},
	{"a misspelt member", `{"rules":[{"id":"a","kind":"late","step":[]}]}`, `/rules/0 (rule "a"): json: unknown field "step"`, false},
	{"an unknown kind", `{"rules":[{"id":"a","kind":"lat","steps":[{"after":"1m","severity":"info"}]}]}`, `/rules/0/kind (rule "a"): "lat" is no kind of issue; write one of late, no-rider`, false},
	{"no duration", `{"rules":[{"id":"ok","kind":"late","steps":[{"after":"1m","severity":"info"}]},{"id":"b","kind":"late","steps":[{"after":"soon","severity":"info"}]}]}`, `/rules/1 (rule "b"): "soon" is no duration; write it as "90s"`, false},
	{"too long", `{"rules":[{"id":"a","kind":"late","steps":[{"after":"48h","severity":"info"}]}]}`, `/rules/0/steps/0/after (rule "a"): it is 48h0m0s; it must be from 0s to 24h`, true},
	{"an unknown severity", `{"rules":[{"id":"a","kind":"late","steps":[{"after":"1m","severity":"bad"}]}]}`, `/rules/0/steps/0/severity (rule "a"): it is "bad"`, false},
	{"steps backwards", `{"rules":[{"id":"a","kind":"late","steps":[{"after":"2m","severity":"info"},{"after":"1m","severity":"critical"}]}]}`, `/rules/0/steps/1/after (rule "a"): it is 1m0s, no longer than the step before`, true},
	{"no steps", `{"rules":[{"id":"a","kind":"late"}]}`, `/rules/0/steps (rule "a"): there is none`, true},
	{"off with steps", `{"rules":[{"id":"a","kind":"late","off":true,"steps":[{"after":"1m","severity":"info"}]}]}`, `a rule that is off has none`, true},
	{"an unknown attribute", `{"rules":[{"id":"a","kind":"late","off":true,"match":{"town":"x"}}]}`, `/rules/0/match/town (rule "a"): orders have no such attribute; write one of area, restaurant, rider`, false},
	{"an id twice", `{"rules":[{"id":"a","kind":"late","off":true},{"id":"a","kind":"no-rider","off":true}]}`, `rule "a": the id is used twice`, true},
	{"one that never decides", `{"rules":[{"id":"a","kind":"late","priority":1,"off":true},{"id":"b","kind":"late","match":{"area":"x"},"steps":[{"after":"1m","severity":"info"}]}]}`, `shadowed: rule "b": it never wins`, true},
	{"two of which the ids decide", `{"rules":[{"id":"a","kind":"late","match":{"area":"x"},"steps":[{"after":"1m","severity":"info"}]},{"id":"b","kind":"late","match":{"rider":"y"},"steps":[{"after":"2m","severity":"info"}]}]}`, `ambiguous: rule "b": it is as specific as "a"`, true},
}

func TestRulesThatArentValid(t *testing.T) {
	schemas := store.New(memconfig.New(), nil)
	schema, err := configsvc.Parse([]byte(liveops.Schema()))
	if err != nil {
		t.Fatal(err)
	}
	write := func(key, text string) error {
		v, err := configsvc.Parse([]byte(text))
		if err != nil {
			return err
		}
		_, err = schemas.Write(t.Context(), store.Write{Author: "ada", Edits: []store.Edit{{Key: key, Value: v, Expect: store.Any}}})
		return err
	}
	if err := write("_schemas/"+liveops.Key, schema.String()); err != nil {
		t.Fatal(err)
	}
	for _, c := range invalid {
		err := liveops.Check([]byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: it says %v; it should say %q", c.name, err, c.says)
		}
		if err := write(liveops.Key, c.text); (err == nil) != c.fits {
			t.Errorf("%s: the schema says %v", c.name, err)
		}
	}
	for _, text := range []string{liveops.Default, everyRule, areaRules} {
		if err := liveops.Check([]byte(text)); err != nil {
			t.Errorf("%s is refused: %v", text, err)
		}
		if err := write(liveops.Key, text); err != nil {
			t.Errorf("%s doesn't fit the schema: %v", text, err)
		}
	}
}

const areaRules = `{"rules":[
	{"id":"slow","kind":"not-accepted","steps":[{"after":"10m","severity":"warning"}]},
	{"id":"slow-midtown","kind":"not-accepted","match":{"area":{"prefix":"dr5r"}},"steps":[{"after":"3m","severity":"critical"}]},
	{"id":"test-kitchen","kind":"not-accepted","match":{"restaurant":"http://restaurants.example/7"},"off":true}]}`

func TestTheMostSpecificRuleDecides(t *testing.T) {
	bubble(t, areaRules, func(t *testing.T, r *rig) {
		r.placed("near", nil)
		r.placed("far", map[string]any{"area": "u33db"})
		r.placed("test", map[string]any{"_links": links("restaurant", "http://restaurants.example/7")})
		r.until(5 * time.Minute)
		r.wants("near orders have less time", "not-accepted near critical open")
		r.until(15 * time.Minute)
		r.wants("others have more, and one has all the time", "not-accepted far warning open", "not-accepted near critical open")
	})
}

func TestNewRulesHoldForOpenOrders(t *testing.T) {
	bubble(t, oneRule, func(t *testing.T, r *rig) {
		r.placed("1", nil)
		r.until(time.Minute)
		r.wants("it isn't due")
		r.load(strings.Replace(oneRule, "2m", "30s", 1))
		r.wants("it was due half a minute ago", "not-accepted 1 warning open")
		first := r.only()
		if !first.OpenedAt.Equal(r.began.Add(31 * time.Second)) {
			t.Errorf("it is an issue since %s", first.OpenedAt)
		}
		if _, acked := r.do("POST", first.link("acknowledge"), first.etag); acked.Status != "acknowledged" {
			t.Fatal("it can't be acknowledged")
		}

		// Who is given more time has no issue, until that is over; then it is the same
		// one, and was acknowledged.
		r.load(strings.Replace(oneRule, "2m", "3m", 1))
		r.wants("it has more time")
		if i := r.only(); i.ResolvedBy != "rules" {
			t.Errorf("it was resolved by %q", i.ResolvedBy)
		}
		r.until(3*time.Minute + time.Second)
		r.wants("and that is over", "not-accepted 1 warning acknowledged")
		r.load(`{"rules":[]}`)
		r.wants("nobody minds any more")

		// What can't be used changes nothing.
		r.load(oneRule)
		r.wants("somebody does", "not-accepted 1 warning acknowledged")
		if err := r.live.Load([]byte(`{"rules":[{"id":"x"}]}`)); err == nil {
			t.Error("rules without a kind are in use")
		}
		r.until(6 * time.Minute)
		r.wants("the rules from before hold", "not-accepted 1 critical acknowledged")
	})
}

// In the configuration, rules are refused when they are written; and those that get
// there all the same are rejected by whom they concern, who says so.
func TestRulesAreConfiguration(t *testing.T) {
	city := newCity()
	owner := httptest.NewServer(city)
	defer owner.Close()
	city.base = map[string]string{"orders": owner.URL, "riders": owner.URL}
	city.set("/o/1", map[string]any{"status": "placed", "placed_at": time.Now().Add(-4 * time.Minute).UTC().Format(time.RFC3339)})

	b := membus.New(nil)
	defer func() { _ = b.Shutdown(context.Background()) }()
	documents := store.New(memconfig.New(), nil) // which checks nothing
	config := httptest.NewServer(server.New(documents, &server.Options{BaseURL: "http://config.example", Bus: b}))
	defer config.Close()
	write := func(text string) {
		t.Helper()
		v, err := configsvc.Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := documents.Write(t.Context(), store.Write{Author: "ada", Edits: []store.Edit{{Key: liveops.Key, Value: v, Expect: store.Any}}}); err != nil {
			t.Fatal(err)
		}
	}
	write(`{"rules":[{"id":"slow","kind":"not-accepted","steps":[{"after":"1h","severity":"info"}]}]}`)

	db, err := restaurants.OpenDB(t.TempDir() + "/live.db")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	client, err := resn.NewClient(b, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close(context.Background()) }()
	s, err := liveops.New(t.Context(), db, b, client, &liveops.Options{BaseURL: liveAt, Orders: owner.URL + "/"})
	if err != nil {
		t.Fatal(err)
	}
	configuration, err := configsvc.NewClient(config.URL, &configsvc.ClientOptions{Poll: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = configuration.Close(context.Background()) }()
	w, err := liveops.Watch(t.Context(), configuration, s)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	defer func() {
		stop()
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}()
	r := &rig{t: t, live: s}
	eventually(t, "the order is known", func() bool {
		var n int
		return db.QueryRowContext(t.Context(), `SELECT count(*) FROM watched_orders`).Scan(&n) == nil && n == 1
	})
	if got := r.open(); len(got) != 0 {
		t.Fatalf("an hour isn't over: %q", got)
	}

	write(`{"rules":[{"id":"slow","kind":"not-accepted","steps":[{"after":"never","severity":"info"}]}]}`)
	eventually(t, "it is rejected", func() bool {
		err := w.Rejected()
		return err != nil && strings.Contains(err.Error(), `/rules/0 (rule "slow"): "never" is no duration`)
	})
	if got := r.open(); len(got) != 0 {
		t.Fatalf("the good rules stay: %q", got)
	}
	write(`{"rules":[{"id":"slow","kind":"not-accepted","steps":[{"after":"3m","severity":"critical"}]}]}`)
	eventually(t, "the new rules hold for what was open before", func() bool { return len(r.open()) == 1 })
	if w.Rejected() != nil {
		t.Errorf("good rules are rejected: %v", w.Rejected())
	}
}

// eventually waits until something is so.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !ok(); <-time.After(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it never came true that %s", what)
		}
	}
}
