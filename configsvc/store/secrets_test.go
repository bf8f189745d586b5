package store_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/goswale/swale/configsvc"
	"github.com/goswale/swale/configsvc/driver"
	"github.com/goswale/swale/configsvc/store"
)

const hunter2 = `{"user":"app","password":{"$secret":"hunter2-hunter2"},"list":[{"$secret":"hunter2-too"}]}`

// Whatever leaves the store, and whatever is in the driver, is searched for the
// secret.
func TestSecretsAreNeverShown(t *testing.T) {
	var told []*store.Commit
	f := open(t, nil)
	f.write("_schemas/base", `{"properties":{"password":{"type":"string","pattern":"^hunter","maxLength":15}}}`)
	f.write("base", hunter2)
	f.write("base", `{"user":"app","password":{"$secret":"hunter2-later"}}`)
	var leaks strings.Builder
	add := func(v any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		leaks.Write(text)
	}
	get, err := f.Get(t.Context(), "base", 0)
	add(get, err)
	list, _, err := f.List(t.Context(), store.Listing{})
	add(list, err)
	history, err := f.History(t.Context(), store.Query{})
	add(history, err)
	changes, err := f.Diff(t.Context(), "base", 2, 3)
	add(changes, err)
	c := f.compile(nil, "base")
	add(c.Value, nil)
	add(c.Explain(), nil)
	add(f.compile(&store.CompileOptions{Reveal: true}, "base").Explain(), nil)
	preview, err := f.Preview(t.Context(), store.Write{Author: "ada", Edits: edits(t, "base", `{"password":{"$secret":"hunter2-next"}}`),
		Consumers: []store.Consumer{{Name: "x", Keys: []string{"base"}}}})
	add(preview, err)
	rollout, err := f.StartRollout(t.Context(), store.Start{Write: store.Write{Author: "ada", Edits: edits(t, "base", `{"password":{"$secret":"hunter2-roll"}}`)}, Percent: 50})
	add(rollout, err)
	rollouts, err := f.Rollouts(t.Context())
	add(rollouts, err)
	stored, err := f.driver.Log(t.Context(), driver.Query{Limit: 100})
	for _, c := range stored {
		for _, e := range c.Edits {
			if strings.HasPrefix(e.Key, "_schemas") {
				continue
			}
			add(json.RawMessage(e.Value), err)
		}
	}
	add(told, nil)
	if text := leaks.String(); strings.Contains(strings.ReplaceAll(text, `"pattern":"^hunter"`, ""), "hunter") {
		t.Errorf("a secret was shown: %s", text)
	}
	if !strings.Contains(leaks.String(), configsvc.RedactedMember) {
		t.Error("the test has seen no redacted secret; it says too little")
	}
	// Errors about the secret don't tell it.
	refusal := f.refused([]string{"/password"}, "base/x", `{"password":{"$secret":"wrong-and-very-long"}}`)
	if strings.Contains(refusal, "wrong-and") {
		t.Errorf("the refusal tells the secret: %s", refusal)
	}
}

func TestRevealIsTheOnlyWayToASecret(t *testing.T) {
	f := open(t, nil)
	f.write("base", hunter2)
	c := f.compile(&store.CompileOptions{Reveal: true}, "base")
	if got := c.Value.String(); got != `{"list":["hunter2-too"],"password":"hunter2-hunter2","user":"app"}` {
		t.Errorf("who may see secrets gets strings: %s", got)
	}
	if strings.Join(c.Secrets, " ") != "/list/0 /password" {
		t.Errorf("and is told which they are: %v", c.Secrets)
	}
	if c.Hash != f.compile(nil, "base").Hash {
		t.Error("the hash is the same whether secrets are revealed or not")
	}
}

func TestWhatIsRedactedStaysWhenItIsWrittenBack(t *testing.T) {
	f := open(t, nil)
	f.write("base", hunter2)
	before := f.compile(&store.CompileOptions{Reveal: true}, "base")
	f.write("base", strings.Replace(f.value("base"), `"app"`, `"other"`, 1))
	after := f.compile(&store.CompileOptions{Reveal: true}, "base")
	if want := strings.Replace(before.Value.String(), `"app"`, `"other"`, 1); after.Value.String() != want {
		t.Errorf("got %s, want %s", after.Value, want)
	}
	f.refused([]string{"/password", "no secret with the mark"}, "base", `{"password":{"$redacted":"000000000000"}}`)
	f.refused([]string{"/p"}, "other", `{"p":`+f.secretOf("base", "password")+`}`)
}

// secretOf returns the redacted form of a secret.
func (f *fixture) secretOf(key, name string) string {
	f.t.Helper()
	return parse(f.t, f.value(key)).Get(name).String()
}

// Who reads the store, or the log, must not be able to have a secret revealed
// somewhere else.
func TestASecretCantBeMoved(t *testing.T) {
	f := open(t, nil)
	f.write("base", hunter2)
	log, err := f.driver.Log(t.Context(), driver.Query{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	sealed := string(log[0].Edits[0].Value)
	f.refused([]string{`write a secret as {"$secret": "text"}`}, "mine", sealed)
	if _, err := f.driver.Commit(t.Context(), driver.Commit{Author: "eve", Time: noon, Edits: []driver.Edit{{Key: "mine", Value: []byte(sealed), Expect: driver.Any}}}); err != nil {
		t.Fatal(err)
	}
	c, err := f.Compile(t.Context(), []string{"mine"}, &store.CompileOptions{Reveal: true})
	if !errors.Is(err, configsvc.ErrSecret) || !strings.Contains(err.Error(), "another key") || c != nil && strings.Contains(c.Value.String(), "hunter2") {
		t.Errorf("a secret that was copied past the service must not be revealed: %v", err)
	}
}

func TestSecretsAreWellFormed(t *testing.T) {
	f := open(t, nil)
	f.refused([]string{"base /a: $secret stands alone"}, "base", `{"a":{"$secret":"x","more":1}}`)
	f.refused([]string{"base /a/0: $secret stands alone"}, "base", `{"a":[{"$secret":5}]}`)
	without := store.New(f.driver, nil)
	if _, err := without.Write(t.Context(), store.Write{Author: "ada", Edits: edits(t, "base", hunter2)}); !errors.Is(err, store.ErrInvalid) || !strings.Contains(err.Error(), "no key") {
		t.Errorf("without a key secrets are refused: %v", err)
	}
}
