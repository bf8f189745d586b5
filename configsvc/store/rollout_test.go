package store_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/goswale/swale/configsvc/store"
)

func instance(i int) store.Instance {
	return store.Instance{Service: "orders", ID: fmt.Sprintf("orders-%d", i)}
}

func (f *fixture) start(percent float64, salt string, haltAfter int, pairs ...string) *store.Rollout {
	f.t.Helper()
	r, err := f.StartRollout(f.t.Context(), store.Start{
		Write: store.Write{Author: "ada", Message: "try it", Edits: edits(f.t, pairs...)}, Percent: percent, Salt: salt, HaltAfter: haltAfter,
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return r
}

// have returns which of n instances compile the value.
func (f *fixture) have(n int, want string) map[int]bool {
	f.t.Helper()
	have := map[int]bool{}
	for i := range n {
		of := instance(i)
		if f.compile(&store.CompileOptions{Instance: &of}, "base").Value.String() == want {
			have[i] = true
		}
	}
	return have
}

func TestRolloutGoesToAProportionAndGrows(t *testing.T) {
	f := open(t, nil)
	f.write("base", `{"pool":1}`)
	r := f.start(20, "", 1, "base", `{"pool":2}`)
	some := f.have(500, `{"pool":2}`)
	if len(some) < 60 || len(some) > 140 {
		t.Errorf("20 percent of 500 instances have it: %d", len(some))
	}
	if got := f.compile(nil, "base").Value.String(); got != `{"pool":1}` {
		t.Errorf("who doesn't say who he is has what all have: %s", got)
	}
	if _, err := f.SetPercent(t.Context(), r.ID, "ada", 60); err != nil {
		t.Fatal(err)
	}
	more := f.have(500, `{"pool":2}`)
	for i := range some {
		if !more[i] {
			t.Fatalf("instance %d lost it when the rollout grew", i)
		}
	}
	if len(more) < 240 || len(more) > 360 {
		t.Errorf("60 percent of 500 instances have it: %d", len(more))
	}
	if _, err := f.Write(t.Context(), store.Write{Author: "bob", Edits: edits(t, "base", `{}`)}); !errors.Is(err, store.ErrRollout) {
		t.Errorf("while it runs its keys can't be written otherwise: %v", err)
	}
	if _, err := f.Complete(t.Context(), r.ID, "ada"); err != nil {
		t.Fatal(err)
	}
	if got := f.value("base"); got != `{"pool":2}` || len(f.have(50, `{"pool":2}`)) != 50 {
		t.Errorf("complete, all have it: %s", got)
	}
	if _, err := f.SetPercent(t.Context(), r.ID, "ada", 70); !errors.Is(err, store.ErrRollout) {
		t.Errorf("what is over stays so: %v", err)
	}
}

// Hailo's hashes had no salt, so every experiment began with the same instances.
func TestRolloutsBeginWithOtherInstances(t *testing.T) {
	f := open(t, nil)
	f.write("base", `{"pool":1}`)
	cohort := func(salt string) map[int]bool {
		r := f.start(30, salt, 1, "base", `{"pool":2}`)
		have := f.have(300, `{"pool":2}`)
		if _, err := f.Halt(ctx(t), r.ID, "ada", "enough"); err != nil {
			t.Fatal(err)
		}
		return have
	}
	common := func(a, b map[int]bool) int {
		n := 0
		for i := range a {
			if b[i] {
				n++
			}
		}
		return n
	}
	a, b := cohort(""), cohort("")
	if n := common(a, b); n > len(a)*6/10 {
		t.Errorf("%d of %d instances are in both rollouts; they must not be the same", n, len(a))
	}
	a, b = cohort("same"), cohort("same")
	if n := common(a, b); n != len(a) || n != len(b) {
		t.Error("with the same salt they are the same")
	}
}

func TestRolloutHaltsWhenInstancesRejectIt(t *testing.T) {
	var told []string
	var mu sync.Mutex
	f := open(t, nil)
	f.write("base", `{"pool":1}`)
	r := f.start(100, "", 2, "base", `{"pool":-1}`)
	keys := []string{"base"}
	bad := func(i int) string {
		of := instance(i)
		return f.compile(&store.CompileOptions{Instance: &of}, keys...).Hash
	}
	good := f.compile(nil, keys...).Hash
	reject := func(i int, hash string) []*store.Rollout {
		t.Helper()
		got, err := f.Rejected(t.Context(), keys, store.Reject{Instance: instance(i), Hash: hash, Error: "pool must be positive"})
		if err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		defer mu.Unlock()
		told = append(told, fmt.Sprint(i))
		return got
	}
	if got := reject(1, good); len(got) != 0 {
		t.Error("an instance that can't use what all have says nothing against the rollout")
	}
	if got := reject(1, "0123"); len(got) != 0 {
		t.Error("nor one that can't use something else")
	}
	hash := bad(1)
	if got := reject(1, hash); len(got) != 1 || got[0].State != store.Running {
		t.Errorf("one is not enough yet: %+v", got)
	}
	if got := reject(1, hash); got[0].State != store.Running {
		t.Error("one that says it twice is one")
	}
	if got := reject(2, hash); got[0].State != store.Halted || !strings.Contains(got[0].Reason, "pool must be positive") {
		t.Errorf("two are enough: %+v", got[0])
	}
	if n := len(f.have(20, `{"pool":1}`)); n != 20 {
		t.Errorf("halted, all are back: %d of 20", n)
	}
	if _, err := f.Complete(t.Context(), r.ID, "ada"); !errors.Is(err, store.ErrRollout) {
		t.Errorf("a halted rollout can't be completed: %v", err)
	}
	f.write("base", `{"pool":3}`) // the key is free again
}

func TestRolloutIsCheckedAsAWrite(t *testing.T) {
	f := open(t, nil)
	f.write("_schemas/base", `{"properties":{"pool":{"minimum":1}}}`)
	f.write("base", `{"pool":1}`)
	for _, c := range []struct {
		percent float64
		pairs   []string
	}{{50, []string{"base", `{"pool":0}`}}, {0, []string{"base", `{}`}}, {101, []string{"base", `{}`}}, {50, []string{"_schemas/x", `{}`}}} {
		_, err := f.StartRollout(t.Context(), store.Start{Write: store.Write{Author: "ada", Edits: edits(t, c.pairs...)}, Percent: c.percent})
		if !errors.Is(err, store.ErrInvalid) {
			t.Errorf("%v percent of %v must be refused: %v", c.percent, c.pairs, err)
		}
	}
	f.start(10, "", 1, "base", `{"pool":5}`)
	_, err := f.StartRollout(t.Context(), store.Start{Write: store.Write{Author: "bob", Edits: edits(t, "base", `{}`)}, Percent: 5})
	if !errors.Is(err, store.ErrRollout) {
		t.Errorf("one rollout for a key at a time: %v", err)
	}
	of := store.Instance{Service: "orders", ID: "bad id"}
	if _, err := f.Compile(t.Context(), []string{"base"}, &store.CompileOptions{Instance: &of}); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("an instance has a name: %v", err)
	}
}

// A cohort may be decided by anything: here by the zone.
func TestACohortMayGoByAttributes(t *testing.T) {
	f := open(t, &store.Options{Cohort: func(_ *store.Rollout, i store.Instance) bool { return i.Attributes["zone"] == "b" }})
	f.write("base", `{"pool":1}`)
	f.start(1, "", 1, "base", `{"pool":2}`)
	for zone, want := range map[string]string{"a": `{"pool":1}`, "b": `{"pool":2}`} {
		of := store.Instance{Service: "orders", ID: "1", Attributes: map[string]string{"zone": zone}}
		if got := f.compile(&store.CompileOptions{Instance: &of}, "base").Value.String(); got != want {
			t.Errorf("zone %s: got %s, want %s", zone, got, want)
		}
	}
}

func TestOldRolloutsGo(t *testing.T) {
	f := open(t, nil)
	f.write("base", `{"pool":1}`)
	var first string
	for i := range 55 {
		r := f.start(10, "", 1, "base", fmt.Sprintf(`{"pool":%d}`, i+2))
		if i == 0 {
			first = r.ID
		}
		if _, err := f.Halt(t.Context(), r.ID, "ada", "enough"); err != nil {
			t.Fatal(err)
		}
	}
	all, err := f.Rollouts(t.Context())
	if err != nil || len(all) != 51 {
		t.Errorf("fifty finished ones are kept when one begins: %d, %v", len(all), err)
	}
	if _, err := f.Rollout(t.Context(), first); err == nil {
		t.Error("the oldest go first")
	}
	history, err := f.History(t.Context(), store.Query{Prefix: "_rollouts/" + first})
	if err != nil || len(history) < 3 {
		t.Errorf("their history stays: %d commits, %v", len(history), err)
	}
}
