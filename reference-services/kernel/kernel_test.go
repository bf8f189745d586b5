package kernel_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/goswale/swale/bus/membus"
	"github.com/goswale/swale/configsvc"
	"github.com/goswale/swale/configsvc/store"
	"github.com/goswale/swale/discovery/memdiscovery"
	"github.com/goswale/swale/discovery/rules"
	"github.com/goswale/swale/reference-services/door"
	"github.com/goswale/swale/reference-services/kernel"
)

// open serves a kernel.
func open(t *testing.T, dir string, inUse func() *rules.Engine) string {
	t.Helper()
	b := membus.New(nil)
	hs := httptest.NewUnstartedServer(nil)
	base := "http://" + hs.Listener.Addr().String()
	k, err := kernel.New(t.Context(), b, &kernel.Options{
		BaseURL: base, Dir: dir, Registry: memdiscovery.NewStore().Driver(nil), Rules: inUse,
	})
	if err != nil {
		t.Fatal(err)
	}
	hs.Config.Handler = k.Handler()
	hs.Start()
	running, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = k.Run(running)
	}()
	t.Cleanup(func() {
		hs.Close()
		stop()
		<-ended
		ctx := context.WithoutCancel(t.Context())
		if err := k.Close(ctx); err != nil {
			t.Error(err)
		}
		if err := b.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	return base
}

func send(t *testing.T, method, url, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func edit(key, value string) string {
	return fmt.Sprintf(`{"edits":[{"key":%q,"overwrite":true,"value":%s}]}`, key, value)
}

// Rules are linted before they are accepted, and their schema is there to help.
func TestBadRulesAreRefusedWhenTheyAreWritten(t *testing.T) {
	dir := t.TempDir()
	config := open(t, dir, nil) + "/config"
	for _, c := range []struct {
		value, says string
		status      int
	}{
		{door.Default, "", http.StatusCreated},
		{`{"rules":[{"id":"x","rout":{"service":"y"}}]}`, "rout", http.StatusUnprocessableEntity},
		{`{"rules":[{"id":"a","route":{"service":"x"}},{"id":"b","route":{"service":"y"}}]}`, "shadowed", http.StatusUnprocessableEntity},
		{`{"trust":{"header:X-To":"client"},"rules":[{"id":"a","match":{"headers":{"X-To":"me"}},"route":{"service":"x"}}]}`, "client-chosen", http.StatusUnprocessableEntity},
	} {
		status, said := send(t, http.MethodPost, config+"/changes", edit(door.Key, c.value))
		if status != c.status || !strings.Contains(said, c.says) {
			t.Errorf("%s is answered by %d %s; want %d and a word about %q", c.value, status, said, c.status, c.says)
		}
	}
	if status, said := send(t, http.MethodGet, config+"/schemas/"+door.Key, ""); status != http.StatusOK || !strings.Contains(said, "Rules of the thin API") {
		t.Errorf("the schema of rules: %d %.200s", status, said)
	}
	if status, said := send(t, http.MethodDelete, config+"/keys/"+door.Key, ""); status >= 300 && status != http.StatusPreconditionRequired {
		t.Errorf("rules can be taken away again: %d %s", status, said)
	}
}

// A rollout over HTTP reaches the instances that a rule with its salt would.
func TestARolloutGoesWhereARuleWouldGo(t *testing.T) {
	config := open(t, t.TempDir(), nil) + "/config"
	if status, said := send(t, http.MethodPost, config+"/changes", edit("base", `{"pool":1}`)); status != http.StatusCreated {
		t.Fatal(said)
	}
	status, said := send(t, http.MethodPost, config+"/rollouts", `{"edits":[{"key":"base","overwrite":true,"value":{"pool":2}}],"percent":40,"salt":"s"}`)
	var started store.Rollout
	if err := json.Unmarshal([]byte(said), &started); status != http.StatusCreated || err != nil {
		t.Fatal(status, said, err)
	}
	engine, err := rules.Compile(&rules.Set{Rules: []rules.Rule{{
		ID: "r", Match: rules.Match{Proportion: &rules.Proportion{Percent: 40, By: "attr:instance", Salt: "s"}}, Respond: &rules.Respond{Status: 200},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	have := 0
	for i := range 60 {
		_, text := send(t, http.MethodGet, fmt.Sprintf("%s/compile?key=base&service=orders&instance=%d", config, i), "")
		doc, err := configsvc.Parse([]byte(text))
		if err != nil {
			t.Fatal(text, err)
		}
		d := engine.Decide(&rules.Request{Attributes: map[string]string{"instance": fmt.Sprintf("orders/%d", i)}})
		want := `{"pool":1}`
		if d.Rule(rules.Answer) != nil {
			want = `{"pool":2}`
			have++
		}
		if got := doc.Get("value").String(); got != want {
			t.Errorf("instance %d has %s; the rule says %s", i, got, want)
		}
	}
	if have == 0 || have == 60 {
		t.Errorf("%d of 60 instances have a rollout to 40%%", have)
	}
}

// The page explains the rules in use, and is there only where there are some.
func TestTheRulesPageIsAboutTheRulesInUse(t *testing.T) {
	set, err := rules.Parse([]byte(door.Default))
	if err != nil {
		t.Fatal(err)
	}
	engine, err := rules.Accept(set)
	if err != nil {
		t.Fatal(err)
	}
	base := open(t, t.TempDir(), func() *rules.Engine { return engine })
	if status, page := send(t, http.MethodGet, base+"/rules/?path=/restaurants/7", ""); status != http.StatusOK || !strings.Contains(page, "<strong>restaurants</strong>") {
		t.Errorf("%d %s", status, page)
	}
	without := open(t, t.TempDir(), nil)
	if status, _ := send(t, http.MethodGet, without+"/rules/", ""); status != http.StatusNotFound {
		t.Errorf("a kernel without rules has a page about them: %d", status)
	}
}
