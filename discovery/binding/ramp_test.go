package binding_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/goswale/swale/discovery"
	"github.com/goswale/swale/discovery/binding"
)

// traffic tells the ramper of 100 requests a second, split as the table says,
// until the context ends.
func traffic(ctx context.Context, table *binding.Table, ramper *binding.Ramper, bad func(version string, n int) (failed bool, took time.Duration)) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	due := map[string]float64{}
	for n := 0; ; n++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		inUse, _ := table.InUse()
		percent := 0.0
		if len(inUse) > 0 {
			for _, s := range inUse[0].Binding.Shares {
				if s.Version == "v2" {
					percent = s.Percent
				}
			}
		}
		version := "v1"
		if due["v2"] += percent / 100; due["v2"] >= 1 {
			version = "v2"
			due["v2"]--
		}
		failed, took := bad(version, n)
		a := discovery.Attempt{Service: "orders", Instance: &discovery.Instance{Version: version}, Status: 200, Latency: took}
		if failed {
			a.Status = 503
		}
		ramper.Observe(a)
	}
}

// ramped runs a ramp under traffic and returns its error and the history.
func ramped(t *testing.T, ramp binding.Ramp, bad func(string, int) (bool, time.Duration), meanwhile func(*binding.Table)) (history []string, took time.Duration, err error) {
	t.Helper()
	table := open(t, binding.NewMemory(), nil)
	ramper := binding.NewRamper(table)
	put(t, table, binding.Binding{Service: "orders", Rest: "v1"})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		traffic(ctx, table, ramper, bad)
	}()
	if meanwhile != nil {
		go meanwhile(table)
	}
	began := time.Now()
	ramp.Service, ramp.Version = "orders", "v2"
	limit, stop := context.WithTimeout(ctx, 12*time.Hour)
	defer stop()
	err = ramper.Run(limit, ramp)
	took = time.Since(began)
	cancel()
	<-done
	revs, herr := table.History(t.Context(), "orders", 20)
	if herr != nil {
		t.Fatal(herr)
	}
	for _, r := range revs {
		history = append(history, fmt.Sprint(r.Binding.Shares, " ", r.Binding.Rest))
	}
	return history, took, err
}

func fine(string, int) (bool, time.Duration) { return false, 20 * time.Millisecond }

func TestRampRaisesInSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		history, took, err := ramped(t, binding.Ramp{Pause: time.Minute, MinRequests: 30}, fine, nil)
		want := []string{"[{v2 100}] v1", "[{v2 25}] v1", "[{v2 5}] v1", "[{v2 1}] v1", "[] v1"}
		if diff := cmp.Diff(want, history); diff != "" || err != nil {
			t.Errorf("%v: %s", err, diff)
		}
		if took < 4*time.Minute || took > 5*time.Minute {
			t.Errorf("four steps of a minute took %v", took)
		}
	})
}

// What this process sees is fine; it is the source that counts, while it answers.
func TestRampJudgesByItsSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		good := binding.Measured{Requests: 1000, Errors: 1, P95: 20 * time.Millisecond}
		for name, c := range map[string]struct {
			candidate binding.Measured
			regresses bool
		}{
			"errors":  {binding.Measured{Requests: 1000, Errors: 100, P95: 20 * time.Millisecond}, true},
			"latency": {binding.Measured{Requests: 1000, Errors: 1, P95: 60 * time.Millisecond}, true},
			"nothing": {good, false},
		} {
			silent := time.Now().Add(30 * time.Minute)
			_, took, err := ramped(t, binding.Ramp{Pause: time.Minute, MinRequests: 30, Source: func(ctx context.Context, service, version string, since time.Time) (binding.Measured, binding.Measured, error) {
				if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) > 5*time.Second || service != "orders" || version != "v2" || time.Since(since) > 31*time.Minute {
					t.Errorf("asked of %s %s since %v, until %v", service, version, since, deadline)
				}
				if time.Now().Before(silent) {
					return binding.Measured{Requests: 1000, Errors: 1000}, good, errors.New("the metrics store is away")
				}
				return c.candidate, good, nil
			}}, fine, nil)
			var regression *binding.Regression
			if errors.As(err, &regression) != c.regresses || !c.regresses && err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if took < 30*time.Minute {
				t.Errorf("%s: while the source doesn't answer nothing is decided, and it was after %v", name, took)
			}
		}
		// What this process sees is no reason then.
		failing := func(v string, _ int) (bool, time.Duration) { return v == "v2", 20 * time.Millisecond }
		if _, _, err := ramped(t, binding.Ramp{Pause: time.Minute, MinRequests: 30, Source: func(context.Context, string, string, time.Time) (binding.Measured, binding.Measured, error) {
			return good, good, nil
		}}, failing, nil); err != nil {
			t.Errorf("the source sees nothing wrong: %v", err)
		}
	})
}

// A step lasts until enough was seen: nobody is judged by a handful.
func TestRampWaitsForRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, took, err := ramped(t, binding.Ramp{Pause: time.Minute, MinRequests: 300, Steps: []float64{1}}, fine, nil)
		if err != nil {
			t.Error(err)
		}
		if took < 300*time.Second-time.Minute/10 {
			t.Errorf("a hundredth of 100 requests a second is 300 after five minutes, not %v", took)
		}
	})
}

func TestRampRollsBack(t *testing.T) {
	for name, bad := range map[string]func(string, int) (bool, time.Duration){
		"errors": func(v string, n int) (bool, time.Duration) {
			return v == "v2" && uint32(n)*2654435761>>31 == 0, 20 * time.Millisecond
		},
		"latency": func(v string, _ int) (bool, time.Duration) {
			return false, map[string]time.Duration{"v1": 20, "v2": 60}[v] * time.Millisecond
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				history, took, err := ramped(t, binding.Ramp{Pause: time.Hour, MinRequests: 50, Steps: []float64{5, 100}}, bad, nil)
				var found *binding.Regression
				if !errors.As(err, &found) || found.Percent != 5 {
					t.Errorf("the version does worse and must be rolled back: %v", err)
				}
				if diff := cmp.Diff([]string{"[] v1", "[{v2 5}] v1", "[] v1"}, history); diff != "" {
					t.Error(diff)
				}
				if took > time.Minute {
					t.Errorf("it must be as soon as it shows, not after %v", took)
				}
			})
		})
	}
}

// When all versions fail alike, the new one isn't blamed.
func TestRampComparesWithTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, _, err := ramped(t, binding.Ramp{Pause: time.Minute, MinRequests: 50, MaxErrors: 0.05, Steps: []float64{25, 50}},
			func(_ string, n int) (bool, time.Duration) { return n%7 == 0, time.Duration(20+n%5) * time.Millisecond }, nil)
		if err != nil {
			t.Error(err)
		}
	})
}

// Somebody else's change ends the ramp and stays.
func TestRampYields(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		history, took, err := ramped(t, binding.Ramp{Pause: time.Hour, MinRequests: 10}, fine, func(table *binding.Table) {
			time.Sleep(time.Minute)
			if _, err := table.Put(context.Background(), binding.Binding{Service: "orders", Rest: "v3"}, by("ada", binding.Latest)); err != nil {
				t.Error(err)
			}
		})
		if !errors.Is(err, binding.ErrOvertaken) || history[0] != "[] v3" {
			t.Errorf("%v, %v", err, history)
		}
		if took > 2*time.Minute {
			t.Errorf("the ramp noticed after %v", took)
		}
	})
}

// A ramp leaves the others what they had of the rest.
func TestRampKeepsTheOthersProportions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := open(t, binding.NewMemory(), nil)
		ramper := binding.NewRamper(table)
		for _, c := range []struct {
			before binding.Binding
			want   string
		}{
			{binding.Binding{Shares: shares("v1", 60.0, "v0", 40.0)}, "[{v2 10} {v1 54} {v0 36}] "},
			{binding.Binding{Shares: shares("v1", 60.0), Rest: "v0"}, "[{v2 10} {v1 54}] v0"},
			{binding.Binding{Shares: shares("v1", 60.0, "v2", 40.0)}, "[{v2 10} {v1 90}] "},
			{binding.Binding{Shares: shares("v1", 60.0), Rest: "v2"}, "[{v2 10} {v1 90}] "},
			{binding.Binding{Shares: shares("v2", 100.0)}, "[{v2 10}] *"},
		} {
			c.before.Service = "orders"
			put(t, table, c.before)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			if err := ramper.Run(ctx, binding.Ramp{Service: "orders", Version: "v2", Steps: []float64{10}}); !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
			cancel()
			rev, err := table.Get(t.Context(), "orders")
			if err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(rev.Binding.Shares, " ", rev.Binding.Rest); got != c.want {
				t.Errorf("%v became %s instead of %s", c.before, got, c.want)
			}
		}
	})
}
