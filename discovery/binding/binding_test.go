package binding_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/goswale/swale/discovery"
	"github.com/goswale/swale/discovery/binding"
	"github.com/goswale/swale/discovery/memdiscovery"
	"github.com/goswale/swale/discovery/rules"
)

// open returns a table over a store, ready.
func open(t *testing.T, store binding.Store, opts *binding.Options) *binding.Table {
	t.Helper()
	table := binding.NewTable(store, opts)
	t.Cleanup(func() {
		if err := table.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if err := table.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	return table
}

func by(who string, expect uint64) binding.Change {
	return binding.Change{Author: who, Message: "why not", Expect: expect}
}

// put writes a binding over whatever there is, and waits until it is in use.
func put(t *testing.T, table *binding.Table, b binding.Binding) binding.Revision {
	t.Helper()
	rev, err := table.Put(t.Context(), b, by("ada", binding.Latest))
	if err != nil {
		t.Fatal(err)
	}
	for {
		inUse, _ := table.InUse()
		for _, r := range inUse {
			if r.Service == b.Service && r.Number == rev.Number {
				return rev
			}
		}
		select {
		case <-time.After(time.Millisecond):
		case <-t.Context().Done():
			t.Fatal("the revision never came into use")
		}
	}
}

func request(t *testing.T, pairs ...string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://orders/orders/9", nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		r.Header.Add(pairs[i], pairs[i+1])
	}
	return r
}

func shares(pairs ...any) []binding.Share {
	var all []binding.Share
	for i := 0; i < len(pairs); i += 2 {
		all = append(all, binding.Share{Version: pairs[i].(string), Percent: pairs[i+1].(float64)})
	}
	return all
}

func TestInvalidBindingsAreRefused(t *testing.T) {
	table := open(t, binding.NewMemory(), nil)
	for _, c := range []struct {
		name string
		b    binding.Binding
		says string
	}{
		{"no service", binding.Binding{Service: "a.b", Rest: "*"}, "service"},
		{"nobody gets the rest", binding.Binding{Service: "s", Shares: shares("v2", 10.0)}, "gets the other 90"},
		{"over 100", binding.Binding{Service: "s", Shares: shares("v1", 60.0, "v2", 60.0)}, "120 percent"},
		{"twice", binding.Binding{Service: "s", Shares: shares("v1", 50.0, "v1", 50.0)}, "two shares"},
		{"negative", binding.Binding{Service: "s", Shares: shares("v1", -1.0), Rest: "*"}, "-1 percent"},
		{"not a number", binding.Binding{Service: "s", Shares: shares("v1", math.NaN()), Rest: "*"}, "NaN"},
		{"rest with a share", binding.Binding{Service: "s", Shares: shares("v1", 10.0), Rest: "v1"}, "share already"},
		{"undeclared cookie", binding.Binding{Service: "s", Rest: "*", By: "cookie:session"}, "trust"},
		{"another service", binding.Binding{Service: "s", Rest: "*", Rules: []rules.Rule{{ID: "r", Match: rules.Match{Region: rules.Is("LON")}, Route: &rules.Route{Service: "t", Versions: []rules.Version{{Version: "v", Weight: 1}}}}}}, "versions of this service"},
		{"a throttle", binding.Binding{Service: "s", Rest: "*", Rules: []rules.Rule{{ID: "r", Throttle: &rules.Throttle{Rate: 1}}}}, "do nothing else"},
		{"shadowed rules", binding.Binding{Service: "s", Rest: "*", Rules: []rules.Rule{staff("a"), staff("b")}}, "shadowed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := table.Put(t.Context(), c.b, by("ada", 0))
			if !errors.Is(err, binding.ErrInvalid) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("the error must speak of %q: %v", c.says, err)
			}
		})
	}
	if _, err := table.Put(t.Context(), binding.Binding{Service: "s", Rest: "*"}, binding.Change{}); err == nil {
		t.Error("a change by nobody must be refused")
	}
}

func staff(id string) rules.Rule {
	return rules.Rule{ID: id, Match: rules.Match{Attributes: map[string]rules.Value{"staff": rules.Is("yes")}},
		Route: &rules.Route{Versions: []rules.Version{{Version: "v2", Weight: 1}}}}
}

// fleet registers so many instances of each version.
func fleet(t *testing.T, versions map[string]int) *discovery.Resolver {
	t.Helper()
	var all []discovery.Instance
	for version, n := range versions {
		for i := range n {
			all = append(all, at(version, i, fmt.Sprintf("10.0.0.%d:80", i)))
		}
	}
	return resolve(t, all)
}

func at(version string, i int, address string) discovery.Instance {
	return discovery.Instance{
		Service: "orders", Version: version, ID: fmt.Sprintf("%s-%d", version, i),
		Endpoints: []discovery.Endpoint{{Scheme: "http", Address: address}},
	}
}

// resolve registers instances and returns a resolver of them.
func resolve(t *testing.T, all []discovery.Instance) *discovery.Resolver {
	t.Helper()
	registry := memdiscovery.New(nil)
	for _, i := range all {
		if _, err := registry.Register(t.Context(), i, nil); err != nil {
			t.Fatal(err)
		}
	}
	resolver := discovery.NewResolver(registry, &discovery.ResolverOptions{SlowStart: -1})
	t.Cleanup(func() {
		ctx := context.Background()
		if err := errors.Join(resolver.Shutdown(ctx), registry.Shutdown(ctx)); err != nil {
			t.Error(err)
		}
	})
	return resolver
}

// pick picks once by a table.
func pick(t *testing.T, table *binding.Table, resolver *discovery.Resolver, r *http.Request) string {
	t.Helper()
	split, key := table.Split(r, "orders")
	p, err := resolver.Pick(t.Context(), "orders", split, key)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Done(discovery.Outcome{})
	return p.Instance().Version
}

// Hailo's weights were each instance's, and one rule for a new version starved
// the old one that had no rule.
func TestHailoRuleForNewVersionDoesNotStarveTheOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := open(t, binding.NewMemory(), nil)
		for _, rest := range []string{"v1", "*"} {
			put(t, table, binding.Binding{Service: "orders", Shares: shares("v2", 10.0), Rest: rest})
			for _, instances := range []map[string]int{{"v1": 9, "v2": 1}, {"v1": 1, "v2": 9}, {"v1": 1, "v2": 1}} {
				resolver := fleet(t, instances)
				const n = 100_000
				got := map[string]int{}
				r := request(t)
				for range n {
					got[pick(t, table, resolver, r)]++
				}
				if p := float64(got["v2"]) / n; math.Abs(p-0.1) > 0.01 || got["v1"]+got["v2"] != n {
					t.Errorf("with %v instances, the rest for %s: 10%% go to v2 and 90%% to v1, not %v", instances, rest, got)
				}
			}
		}
	})
}

// What sticks, sticks by header, cookie and claim, and to the same version in
// every process.
func TestSticking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := binding.NewMemory()
		claims := &binding.Options{Attributes: func(r *http.Request) map[string]string {
			return map[string]string{"sub": r.Header.Get("Claim")}
		}}
		one, two := open(t, store, claims), open(t, store, claims)
		resolver, other := fleet(t, map[string]int{"v1": 3, "v2": 1}), fleet(t, map[string]int{"v1": 1, "v2": 5})
		trust := map[rules.Input]rules.Trust{"header:X-Customer": rules.TrustProxy, "cookie:session": rules.TrustClient}
		for _, c := range []struct {
			by     rules.Input
			header func(int) []string
		}{
			{"header:X-Customer", func(i int) []string { return []string{"X-Customer", fmt.Sprint(i)} }},
			{"cookie:session", func(i int) []string { return []string{"Cookie", fmt.Sprint("a=b; session=", i)} }},
			{"attr:sub", func(i int) []string { return []string{"Claim", fmt.Sprint(i)} }},
		} {
			b := binding.Binding{Service: "orders", Shares: shares("v1", 50.0, "v2", 50.0), By: c.by, Trust: trust}
			put(t, one, b)
			put(t, two, b)
			seen := map[string]int{}
			for i := range 200 {
				r := request(t, c.header(i)...)
				first := pick(t, one, resolver, r)
				seen[first]++
				for range 5 {
					if again := pick(t, two, other, r); again != first {
						t.Fatalf("%s: key %d went to %s and then to %s", c.by, i, first, again)
					}
				}
			}
			if seen["v1"] < 60 || seen["v2"] < 60 {
				t.Errorf("%s: halves were asked for: %v", c.by, seen)
			}
		}
	})
}

// A request that came from a stranger through an edge doesn't stick, or get
// routed, by a header that only proxies are believed about.
func TestEdgesWordIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := open(t, binding.NewMemory(), nil)
		put(t, table, binding.Binding{
			Service: "orders", Rest: "v1", By: "header:X-Customer", Trust: map[rules.Input]rules.Trust{"header:X-Customer": rules.TrustProxy},
			Rules: []rules.Rule{staff("staff")},
		})
		r := request(t, "X-Customer", "7")
		if _, key := table.Split(r, "orders"); key != "7" {
			t.Errorf("a request of this process sticks by %q", key)
		}
		edge := &rules.Request{Attributes: map[string]string{"staff": "yes"}}
		split, key := table.Split(r.WithContext(rules.NewContext(r.Context(), edge)), "orders")
		if key != "" || split.Versions[0].Version != "v2" {
			t.Errorf("what the edge found out decides: %+v by %q", split, key)
		}
		stranger := rules.NewContext(r.Context(), &rules.Request{})
		if split, key := table.Split(r.WithContext(stranger), "orders"); key != "" || split.Versions[0].Version != "v1" {
			t.Errorf("a stranger's header is not believed further on: %+v by %q", split, key)
		}
		if x := table.Explain(r, "orders"); x.Verdicts[0].Rule != "shares" {
			t.Errorf("%+v", x.Verdicts)
		}
		if split, _ := table.Split(r, "unbound"); split != nil || table.Explain(r, "unbound") != nil {
			t.Error("an unbound service has versions all alike")
		}
	})
}

// Rule changes waited for Hailo's next rebind, minutes later.
func TestHailoChangeIsInUseEverywhereWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := binding.NewMemory()
		var tables []*binding.Table
		for range 50 {
			tables = append(tables, open(t, store, nil))
		}
		began := time.Now()
		for n := range 20 {
			b := binding.Binding{Service: "orders", Shares: shares("v1", float64(n)), Rest: "v2"}
			if _, err := tables[n].Put(t.Context(), b, by("ada", uint64(n))); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			for i, table := range tables {
				split, _ := table.Split(request(t), "orders")
				if split == nil || split.Versions[0].Weight != uint32(n*10_000) {
					t.Fatalf("table %d doesn't use write %d: %+v", i, n, split)
				}
			}
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// flaky is a store whose watch can be cut.
type flaky struct {
	*binding.Memory
	down chan struct{}
}

func (f *flaky) Watch(ctx context.Context, tell func([]binding.Revision)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-f.down:
			cancel()
		case <-ctx.Done():
		}
	}()
	return f.Memory.Watch(ctx, tell)
}

func TestWhatIsKnownStaysWhenTheStoreIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &flaky{binding.NewMemory(), make(chan struct{})}
		table := open(t, store, nil)
		put(t, table, binding.Binding{Service: "orders", Rest: "v1"})
		for range 10 {
			store.down <- struct{}{}
			if split, _ := table.Split(request(t), "orders"); split == nil || split.Versions[0].Version != "v1" {
				t.Fatal("the last known binding must stay")
			}
		}
		put(t, table, binding.Binding{Service: "orders", Rest: "v2"})
		if split, _ := table.Split(request(t), "orders"); split.Versions[0].Version != "v2" {
			t.Error("and the watch comes back")
		}
		// A later program's binding, which this one can't use.
		bad := &binding.Binding{Service: "orders", Shares: shares("v3", 1000.0)}
		if _, err := store.Put(t.Context(), binding.Revision{Service: "orders", Binding: bad, Author: "x"}, binding.Latest); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if split, _ := table.Split(request(t), "orders"); split.Versions[0].Version != "v2" {
			t.Error("a revision that can't be used changes nothing")
		}
		if _, refused := table.InUse(); refused["orders"] == nil {
			t.Error("and it is told")
		}
	})
}

func TestHistoryAndRollback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		table := open(t, binding.NewMemory(), nil)
		if _, err := table.Get(ctx, "orders"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("an unbound service: %v", err)
		}
		first := put(t, table, binding.Binding{Service: "orders", Rest: "v1"})
		if _, err := table.Put(ctx, binding.Binding{Service: "orders", Rest: "v2"}, by("bo", 0)); !errors.Is(err, binding.ErrConflict) {
			t.Errorf("who hasn't seen revision 1 must not overwrite it: %v", err)
		}
		if _, err := table.Put(ctx, binding.Binding{Service: "orders", Rest: "v2"}, by("bo", first.Number)); err != nil {
			t.Fatal(err)
		}
		if _, err := table.Delete(ctx, "orders", by("cy", 1)); !errors.Is(err, binding.ErrConflict) {
			t.Errorf("neither must a delete: %v", err)
		}
		if _, err := table.Delete(ctx, "orders", by("cy", 2)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if split, _ := table.Split(request(t), "orders"); split != nil {
			t.Error("a deleted binding is in use")
		}
		if _, err := table.Rollback(ctx, "orders", 9, by("dee", 3)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("there is no revision 9: %v", err)
		}
		if _, err := table.Rollback(ctx, "orders", 1, binding.Change{Author: "dee", Expect: 3}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if split, _ := table.Split(request(t), "orders"); split == nil || split.Versions[0].Version != "v1" {
			t.Error("revision 1 is in use again")
		}
		revs, err := table.History(ctx, "orders", 10)
		if err != nil {
			t.Fatal(err)
		}
		var told []string
		for _, r := range revs {
			told = append(told, fmt.Sprintf("%d %s %s", r.Number, r.Author, r.Message))
		}
		if diff := cmp.Diff([]string{"4 dee back to revision 1", "3 cy why not", "2 bo why not", "1 ada why not"}, told); diff != "" {
			t.Error(diff)
		}
	})
}

func TestSplitAllocatesNothing(t *testing.T) {
	table := open(t, binding.NewMemory(), nil)
	put(t, table, binding.Binding{Service: "orders", Shares: shares("v2", 10.0), Rest: "v1", By: "header:X", Trust: map[rules.Input]rules.Trust{"header:X": rules.TrustProxy}, Rules: []rules.Rule{staff("staff")}})
	r := request(t, "X", "7")
	if n := testing.AllocsPerRun(100, func() { table.Split(r, "orders") }); n != 0 {
		t.Errorf("a split makes %g heap objects; a pick should make none", n)
	}
}

func Example() {
	ctx := context.Background()
	table := binding.NewTable(binding.NewMemory(), nil)
	_, err := table.Put(ctx, binding.Binding{
		Service: "orders", Shares: []binding.Share{{Version: "v2", Percent: 10}}, By: "attr:customer",
	}, binding.Change{Author: "ada", Message: "try v2"})
	fmt.Println(err)
	rev, err := table.Put(ctx, binding.Binding{
		Service: "orders", Shares: []binding.Share{{Version: "v2", Percent: 10}}, Rest: "v1", By: "attr:customer",
	}, binding.Change{Author: "ada", Message: "try v2"})
	fmt.Println(rev.Number, rev.Author, rev.Message, err)
	fmt.Println(table.Close(ctx))
	// Output:
	// binding: not valid: service orders: the shares add up to 10 percent; name in rest the version that gets the other 90, "*" for all others
	// 1 ada try v2 <nil>
	// <nil>
}
