package store_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/goswale/swale/configsvc"
	"github.com/goswale/swale/configsvc/driver"
	"github.com/goswale/swale/configsvc/store"
)

func TestEveryWriteIsAVersion(t *testing.T) {
	f := open(t, nil)
	f.write("base", `{"pool":5,"gone":1}`)
	f.write("base", `{"pool":7}`, "base/orders", `{}`)
	f.write("base", "")
	if _, err := f.Get(t.Context(), "base", 0); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a deleted key isn't there: %v", err)
	}
	d, err := f.Get(t.Context(), "base", 2)
	if err != nil {
		t.Fatal(err)
	}
	if d.Value.String() != `{"pool":7}` || d.Version != 2 || d.Author != "ada" || d.Message != "because" || !d.Time.Equal(noon.Add(2*time.Minute)) {
		t.Errorf("a version says what, who, why and when: %+v", d)
	}
	history, err := f.History(t.Context(), store.Query{Prefix: "base"})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range history {
		for _, change := range c.Changes {
			for _, d := range change.Diff {
				got = append(got, fmt.Sprintf("%d %s%s: %s -> %s", c.Revision, change.Key, d.Path, d.Before, d.After))
			}
			if change.Deleted {
				got = append(got, fmt.Sprintf("%d deleted %s", c.Revision, change.Key))
			}
		}
	}
	want := []string{
		`3 base: {"pool":7} -> `, `3 deleted base`,
		`2 base/gone: 1 -> `, `2 base/pool: 5 -> 7`, `2 base/orders:  -> {}`,
		`1 base:  -> {"gone":1,"pool":5}`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("history must say what each commit changed, deletions too (-want +got):\n%s", diff)
	}
	changes, err := f.Diff(t.Context(), "base", 1, 2)
	if err != nil || len(changes) != 2 {
		t.Errorf("any two versions can be compared: %v, %v", changes, err)
	}
	if changes, err = f.Diff(t.Context(), "base", 1, 0); err != nil || len(changes) != 1 {
		t.Errorf("also with what was deleted: %v, %v", changes, err)
	}
	if c, err := f.Revision(t.Context(), 2); err != nil || len(c.Changes) != 2 {
		t.Errorf("one commit can be read: %+v, %v", c, err)
	}
	if _, err := f.Revision(t.Context(), 4); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a commit that isn't there: %v", err)
	}
}

func TestCompareAndSet(t *testing.T) {
	f := open(t, nil)
	f.write("base", `{"pool":5}`)
	write := func(expect int64) error {
		_, err := f.Write(t.Context(), store.Write{Author: "bob", Edits: []store.Edit{{Key: "base", Value: parse(t, `{}`), Expect: expect}}})
		return err
	}
	for _, expect := range []int64{store.Absent, 2} {
		var conflict *driver.ConflictError
		if err := write(expect); !errors.Is(err, store.ErrConflict) || !errors.As(err, &conflict) || conflict.Revision != 1 {
			t.Errorf("a write of another version than %d is a conflict that says which there is: %v", expect, err)
		}
	}
	if err := write(1); err != nil {
		t.Error(err)
	}
}

// interloper writes between the checks of a write and its commit.
type interloper struct {
	driver.Driver
	write func()
}

func (d *interloper) Commit(ctx context.Context, c driver.Commit) (driver.Commit, error) {
	if write := d.write; write != nil {
		d.write = nil
		write()
	}
	return d.Driver.Commit(ctx, c)
}

// What was checked must be what is written over, also when nothing was expected.
func TestWhatWasCheckedIsWhatIsChanged(t *testing.T) {
	f := open(t, nil)
	f.write("base", `{"pool":5}`)
	d := &interloper{Driver: f.driver, write: func() { f.write("base", `{"pool":6}`) }}
	_, err := store.New(d, nil).Write(t.Context(), store.Write{Author: "bob", Edits: edits(t, "base", `{}`)})
	if !errors.Is(err, store.ErrConflict) {
		t.Errorf("a write that was overtaken between check and commit must fail: %v", err)
	}
	if got := f.value("base"); got != `{"pool":6}` {
		t.Errorf("the faster write was overwritten: %s", got)
	}
}

func TestSeveralKeysOrNone(t *testing.T) {
	f := open(t, nil)
	f.write("a", `1`)
	_, err := f.Write(t.Context(), store.Write{Author: "bob", Edits: []store.Edit{
		{Key: "b", Value: parse(t, `2`), Expect: store.Absent}, {Key: "a", Value: parse(t, `2`), Expect: store.Absent},
	}})
	if !errors.Is(err, store.ErrConflict) || f.value("b") != "" {
		t.Errorf("when one edit can't be made none is: %v, b is %q", err, f.value("b"))
	}
}

func TestLimits(t *testing.T) {
	f := open(t, &store.Options{MaxBytes: 100, MaxDepth: 3, MaxEdits: 2})
	f.refused([]string{"a: has 102 bytes; at most 100"}, "a", `"`+strings.Repeat("x", 100)+`"`)
	f.refused([]string{"a: nests 4 deep; at most 3"}, "a", `[[[[]]]]`)
	f.refused([]string{"has 3 edits; it must have 1 to 2"}, "a", `1`, "b", `1`, "c", `1`)
	f.refused([]string{"a: is edited twice"}, "a", `1`, "a", `2`)
	f.refused([]string{`"A/b"`, "segment 1"}, "A/b", `1`)
	f.refused([]string{"_rollouts/x: is the service's own"}, "_rollouts/x", `{}`)
	f.refused([]string{"1 to 2"})
	for _, w := range []store.Write{{Edits: edits(t, "a", `1`)}, {Author: "ada", Message: strings.Repeat("x", 2001), Edits: edits(t, "a", `1`)}} {
		if _, err := f.Write(t.Context(), w); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("a write has an author and no long message: %v", err)
		}
	}
}

func TestRollbackOfAKeyAndOfASetToAMoment(t *testing.T) {
	f := open(t, nil)
	f.write("base", `{"pool":1}`, "base/orders", `{"a":1}`, "region/eu", `{"x":1}`) // 12:01
	f.write("base", `{"pool":2}`, "base/new", `{}`)                                 // 12:02
	f.write("base/orders", "", "region/eu", `{"x":2}`)                              // 12:03
	moment := noon.Add(90 * time.Second)

	p, err := f.RollBack(t.Context(), store.Rollback{Author: "bob", Prefix: "base", Moment: moment, Preview: true})
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Commit.Changes) != 3 || p.Commit.Revision != 0 || f.value("base") != `{"pool":2}` {
		t.Errorf("a preview describes and does nothing: %+v", p.Commit)
	}
	p, err = f.RollBack(t.Context(), store.Rollback{Author: "bob", Prefix: "base", Moment: moment})
	if err != nil {
		t.Fatal(err)
	}
	if p.Commit.Revision != 4 || p.Commit.Message != "roll back to revision 1" {
		t.Errorf("a rollback is one commit: %+v", p.Commit)
	}
	got := []string{f.value("base"), f.value("base/orders"), f.value("base/new"), f.value("region/eu")}
	if diff := cmp.Diff([]string{`{"pool":1}`, `{"a":1}`, "", `{"x":2}`}, got); diff != "" {
		t.Errorf("what was changed is back, what was deleted too, what was made is gone, other keys stay (-want +got):\n%s", diff)
	}
	if _, err := f.RollBack(t.Context(), store.Rollback{Author: "bob", Keys: []string{"region/eu"}, To: 1}); err != nil {
		t.Fatal(err)
	}
	if got := f.value("region/eu"); got != `{"x":1}` {
		t.Errorf("one key can be rolled back: %s", got)
	}
	p, err = f.RollBack(t.Context(), store.Rollback{Author: "bob", Keys: []string{"region/eu"}, To: 1})
	if err != nil || p.Commit != nil {
		t.Errorf("where there is nothing to do there is no commit: %+v, %v", p, err)
	}
	if _, err := f.RollBack(t.Context(), store.Rollback{Author: "bob"}); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("a rollback without a goal must be refused: %v", err)
	}
}

func TestSchemasOfAllPrefixesAreChecked(t *testing.T) {
	f := open(t, nil)
	f.write("_schemas/base", `{"type":"object","properties":{"pool":{"type":"integer","minimum":1},"url":{"type":"string","format":"uri"}}}`)
	f.write("_schemas", `{"not":{"required":["forbidden"]}}`)
	f.refused([]string{"base/orders /pool", "minimum: got 0, want 1", "_schemas/base"}, "base/orders", `{"pool":0}`)
	f.refused([]string{"/url", "uri"}, "base", `{"url":"no url"}`)
	f.refused([]string{"region/eu", "_schemas)"}, "region/eu", `{"forbidden":1}`)
	f.write("base/orders", `{"pool":12345678901234567890}`)
	f.write("basement", `{"pool":0}`) // where the segment ends the prefix does
	f.refused([]string{"is no JSON Schema"}, "_schemas/x", `{"type":"nonsense"}`)
	f.refused([]string{"isn't in the schema itself"}, "_schemas/x", `{"$ref":"file:///etc/passwd"}`)
	f.refused([]string{"base/orders /pool"}, "_schemas/base/orders", `{"properties":{"pool":{"type":"string"}}}`)
	// Schema and document in one write are checked against each other.
	f.write("_schemas/base", `{"properties":{"pool":{"type":"string"}}}`, "base/orders", `{"pool":"x"}`)
	f.refused([]string{"base /pool"}, "_schemas/base", `{"properties":{"pool":{"type":"boolean"}}}`, "base", `{"pool":1}`)
	got, err := f.Schemas(t.Context(), "base/orders")
	if err != nil || len(got) != 2 {
		t.Errorf("the schemas of a key can be read: %v, %v", got, err)
	}
	// A rollback to what breaks the schema of today is refused.
	if _, err := f.RollBack(t.Context(), store.Rollback{Author: "bob", Keys: []string{"base/orders"}, To: 3}); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("a rollback is checked as a write is: %v", err)
	}
}

func TestValidators(t *testing.T) {
	f := open(t, &store.Options{Validators: []store.Validator{func(_ context.Context, c store.Candidate) error {
		if secret, _ := c.After.Get("password").Text(); c.Key == "base" && len(secret) < 8 {
			return fmt.Errorf("the password %s is too short, it was %s", secret, c.Before)
		}
		return nil
	}}})
	refusal := f.refused([]string{"base: isn't allowed"}, "base", `{"password":{"$secret":"hunter2"}}`)
	if strings.Contains(refusal, "hunter2") {
		t.Errorf("a validator's message must not tell the secret: %s", refusal)
	}
	f.write("base", `{"password":{"$secret":"correct horse"}}`)
	f.write("base/orders", `{}`)
}

// Hailo wrote blindly: what a write did to the services was seen afterwards.
func TestPreviewShowsWhatChangesForEachService(t *testing.T) {
	f := open(t, nil)
	f.write("base", `{"pool":5,"url":{"host":"a"}}`, "base/orders", `{"pool":9}`, "base/riders", `{"x":1}`)
	consumers := []store.Consumer{
		{Name: "orders", Keys: []string{"base", "base/orders"}},
		{Name: "riders", Keys: []string{"base", "base/riders"}},
		{Name: "other", Keys: []string{"other"}},
	}
	preview := func(pairs ...string) []string {
		t.Helper()
		p, err := f.Preview(t.Context(), store.Write{Author: "ada", Edits: edits(t, pairs...), Consumers: consumers})
		if err != nil {
			t.Fatal(err)
		}
		if p.Commit.Revision != 0 {
			t.Error("a preview makes no commit")
		}
		var got []string
		for _, e := range p.Effects {
			line := e.Consumer.Name
			for _, d := range e.Diff {
				line += fmt.Sprintf(" %s: %s -> %s", d.Path, d.Before, d.After)
			}
			if e.Problem != "" {
				line += " breaks"
			}
			got = append(got, line)
		}
		return got
	}
	want := []string{"riders /pool: 5 -> 6"}
	if diff := cmp.Diff(want, preview("base", `{"pool":6,"url":{"host":"a"}}`)); diff != "" {
		t.Errorf("only those are named whose configuration changes (-want +got):\n%s", diff)
	}
	want = []string{"orders breaks"}
	if diff := cmp.Diff(want, preview("base/orders", `{"pool":{"size":1}}`)); diff != "" {
		t.Errorf("those that would break are named (-want +got):\n%s", diff)
	}
	if f.value("base") != `{"pool":5,"url":{"host":"a"}}` {
		t.Error("a preview changes nothing")
	}
	// A write that would leave a service without a configuration is refused.
	w := store.Write{Author: "ada", Edits: edits(t, "base/orders", `{"pool":{"size":1}}`), Consumers: consumers}
	if _, err := f.Write(t.Context(), w); !errors.Is(err, store.ErrInvalid) || !strings.Contains(err.Error(), "orders could not compile") {
		t.Errorf("a write that breaks a service must be refused: %v", err)
	}
	w.Force = true
	if _, err := f.Write(t.Context(), w); err != nil {
		t.Errorf("unless it is forced: %v", err)
	}
	w = store.Write{Author: "ada", Edits: edits(t, "base/orders", `{"pool":{"size":2}}`), Consumers: consumers}
	if _, err := f.Write(t.Context(), w); err != nil {
		t.Errorf("what was broken before doesn't hinder: %v", err)
	}
}

func TestCompile(t *testing.T) {
	f := open(t, nil)
	f.write("base", `{"pool":5}`)
	f.write("region/eu", `{"pool":6}`)
	keys := configsvc.Layers("orders", "eu", "live")
	c := f.compile(nil, keys...)
	if c.Value.String() != `{"pool":6}` || c.Revision != 2 || len(c.Layers) != 6 || c.Layers[2].Version != 2 || c.Layers[1].Version != 0 {
		t.Errorf("layers that aren't there are empty: %s %+v", c.Value, c)
	}
	if again := f.compile(nil, keys...); again.Hash != c.Hash {
		t.Error("the hash is stable")
	}
	if then := f.compile(&store.CompileOptions{At: 1}, keys...); then.Value.String() != `{"pool":5}` {
		t.Errorf("what was compiled at a revision can be seen: %s", then.Value)
	}
	f.write("base/orders", `{"pool":"x"}`)
	if _, err := f.Compile(t.Context(), keys, nil); !errors.Is(err, configsvc.ErrConflict) || !strings.Contains(err.Error(), "base/orders (version 3)") {
		t.Errorf("a conflict names layers with their versions: %v", err)
	}
}
