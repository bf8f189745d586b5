package thinapi_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goswale/swale/discovery/thinapi"
)

func ruleFor(service string) string {
	return fmt.Sprintf(`{"rules": [{"id": "all", "route": {"service": %q}}]}`, service)
}

// Rule changes waited for Hailo's next rebind.
func TestHailoChangeTakesEffectAtOnce(t *testing.T) {
	b := &backend{}
	h := open(t, b, ruleFor("one"), nil)
	for _, service := range []string{"two", "three"} {
		if err := h.Load([]byte(ruleFor(service))); err != nil {
			t.Fatal(err)
		}
		ask(h, "GET", "/", "")
		if got := b.last(t).host; got != service {
			t.Errorf("the request after Load went to %s instead of %s", got, service)
		}
	}
}

// Every request during changes sees one set of rules, the old or the new.
func TestReloadsLoseNothing(t *testing.T) {
	b := &backend{}
	h := open(t, b, ruleFor("s0"), nil)
	var stop atomic.Bool
	var group sync.WaitGroup
	for range 2 {
		group.Go(func() {
			for !stop.Load() {
				if got := ask(h, "GET", "/", ""); got.status != 200 {
					t.Errorf("a request during a change was answered %d", got.status)
				}
			}
		})
	}
	for i := range 200 {
		if err := h.Load([]byte(ruleFor(fmt.Sprint("s", i)))); err != nil {
			t.Error(err)
		}
	}
	stop.Store(true)
	group.Wait()
}

func TestBadRulesChangeNothing(t *testing.T) {
	b := &backend{}
	h := open(t, b, ruleFor("good"), nil)
	for _, bad := range []string{
		`{`, `{"rules": [{"id": "x"}]}`,
		`{"rules": [{"id": "a", "route": {"service": "a"}}, {"id": "b", "route": {"service": "b"}}]}`, // lint
	} {
		if err := h.Load([]byte(bad)); err == nil {
			t.Errorf("%s must be refused", bad)
		}
		if s := h.Status(); s.Rejected == nil || s.Rules != 1 {
			t.Errorf("the status must say so: %+v", s)
		}
		if ask(h, "GET", "/", ""); b.last(t).host != "good" {
			t.Error("the good rules stay")
		}
	}
	if err := h.Load([]byte(ruleFor("good"))); err != nil || h.Status().Rejected != nil {
		t.Errorf("good rules end the complaint: %v, %+v", err, h.Status())
	}
}

// The door opens with the last good rules though nobody can be asked.
func TestLastGoodRulesSurvive(t *testing.T) {
	name := filepath.Join(t.TempDir(), "rules.json")
	opts := &thinapi.Options{LastGood: name}
	b := &backend{}
	first := open(t, b, ruleFor("kept"), opts)
	if s := first.Status(); s.FromDisk || s.NotKept != nil {
		t.Errorf("%+v", s)
	}
	if err := first.Load([]byte(`{"rules": [{"id": "bad"}]}`)); err == nil {
		t.Fatal("bad rules were accepted")
	}
	again := func() *thinapi.Handler {
		t.Helper()
		h, err := thinapi.New(b, opts)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	second := again()
	if got := ask(second, "GET", "/", ""); got.status != 200 || b.last(t).host != "kept" || !second.Status().FromDisk {
		t.Errorf("%d by %+v", got.status, second.Status())
	}
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for what, data := range map[string]string{
		"changed": strings.Replace(string(whole), "kept", "evil", 1), "cut off": string(whole[:len(whole)/2]), "empty": "",
	} {
		if err := os.WriteFile(name, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
		h := again()
		if got := ask(h, "GET", "/", ""); got.status != 503 || h.Status().Rejected == nil {
			t.Errorf("a file that was %s must not be used: %d, %+v", what, got.status, h.Status())
		}
		if err := h.Load([]byte(ruleFor("new"))); err != nil || h.Status().NotKept != nil {
			t.Errorf("and is replaced by the next good rules: %v", err)
		}
	}
	left, err := filepath.Glob(name + ".*")
	if err != nil || len(left) != 0 {
		t.Errorf("nothing else is left behind: %v %v", left, err)
	}
	// A lint that has become stricter is no reason to open without rules.
	stricter := `{"rules": [{"id": "a", "route": {"service": "a"}}, {"id": "b", "route": {"service": "b"}}]}`
	sum := sha256.Sum256([]byte(stricter))
	doc, err := json.Marshal(map[string]any{"saved": time.Now(), "sha256": hex.EncodeToString(sum[:]), "rules": stricter})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, doc, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := ask(again(), "GET", "/", ""); got.status != 200 {
		t.Errorf("rules that were accepted once serve: %d", got.status)
	}
	unkept := &thinapi.Options{LastGood: filepath.Join(t.TempDir(), "no", "such", "folder", "rules.json")}
	h := open(t, b, ruleFor("used"), unkept)
	if h.Status().NotKept == nil || ask(h, "GET", "/", "").status != 200 {
		t.Error("rules that can't be kept are used, and the status says it")
	}
}

func TestWithoutRules(t *testing.T) {
	h, err := thinapi.New(&backend{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := ask(h, "GET", "/", ""); got.status != 503 || got.header.Get("Retry-After") == "" {
		t.Errorf("%+v", got)
	}
}

func TestWatchFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		name := filepath.Join(t.TempDir(), "rules.json")
		var got []string
		var failures int
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			thinapi.WatchFile(ctx, name, time.Second, func(data []byte) error { got = append(got, string(data)); return nil }, func(error) { failures++ })
		}()
		write := func(text string) {
			if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
				t.Error(err)
			}
			time.Sleep(3 * time.Second)
		}
		time.Sleep(1500 * time.Millisecond)
		write("one")
		write("two")
		write("two")
		cancel()
		<-done
		if fmt.Sprint(got) != "[one two]" || failures != 2 {
			t.Errorf("each content is applied once, %v, and %d failures", got, failures)
		}
	})
}
