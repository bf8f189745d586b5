package configtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goswale/swale/configsvc/driver"
)

// Open connects another driver to one log, as another process would.
type Open = func(t *testing.T) driver.Driver

// Run runs the suite. New makes an empty log and returns how to connect to it.
func Run(t *testing.T, fresh func(t *testing.T) Open) {
	t.Helper()
	for _, check := range []struct {
		name string
		run  func(*testing.T, *suite)
	}{
		{"Empty", testEmpty},
		{"CommitAndRead", testCommitAndRead},
		{"Expectations", testExpectations},
		{"AllOrNothing", testAllOrNothing},
		{"Deletion", testDeletion},
		{"ReadAt", testReadAt},
		{"List", testList},
		{"Log", testLog},
		{"Moment", testMoment},
		{"TimeNeverRunsBackwards", testTime},
		{"OtherConnection", testOtherConnection},
		{"Race", testRace},
		{"DeletionsRaceToo", testDeletionRace},
		{"SnapshotsAreWhole", testSnapshots},
		{"LikeTheModel", testModel},
		{"LongValues", testLongValues},
		{"Cancelled", testCancelled},
	} {
		t.Run(check.name, func(t *testing.T) {
			t.Parallel()
			s := &suite{open: fresh(t), t: t}
			s.d = s.open(t)
			check.run(t, s)
		})
	}
}

type suite struct {
	open Open
	d    driver.Driver
	t    *testing.T
}

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// put returns an edit without expectation; an empty value deletes.
func put(key, value string) driver.Edit { return expecting(key, value, driver.Any) }

func expecting(key, value string, revision int64) driver.Edit {
	e := driver.Edit{Key: key, Expect: revision}
	if value != "" {
		e.Value = []byte(value)
	}
	return e
}

func (s *suite) commit(at time.Time, edits ...driver.Edit) driver.Commit {
	s.t.Helper()
	c, err := s.d.Commit(s.t.Context(), driver.Commit{Author: "ada", Message: "because", Time: at, Edits: edits})
	if err != nil {
		s.t.Fatalf("Commit: %v", err)
	}
	return c
}

func (s *suite) read(at int64, keys ...string) driver.Snapshot {
	s.t.Helper()
	snap, err := s.d.Read(s.t.Context(), keys, at)
	if err != nil {
		s.t.Fatalf("Read: %v", err)
	}
	return snap
}

// show writes versions as "key=value@revision".
func show(versions []driver.Version) string {
	texts := make([]string, len(versions))
	for i, v := range versions {
		texts[i] = fmt.Sprintf("%s=%s@%d", v.Key, v.Value, v.Revision)
	}
	return strings.Join(texts, " ")
}

func (s *suite) same(rule, got, want string) {
	s.t.Helper()
	if got != want {
		s.t.Fatalf("%s: got %q, want %q", rule, got, want)
	}
}

func testEmpty(t *testing.T, s *suite) {
	snap := s.read(driver.Latest, "a")
	if snap.Revision != 0 || len(snap.Versions) != 0 || !snap.Time.IsZero() {
		t.Errorf("an empty log has revision 0 and nothing in it: %+v", snap)
	}
	if rev, err := s.d.Moment(t.Context(), noon); err != nil || rev != 0 {
		t.Errorf("an empty log has revision 0 at any moment: %d, %v", rev, err)
	}
	if log, err := s.d.Log(t.Context(), driver.Query{Limit: 5}); err != nil || len(log) != 0 {
		t.Errorf("an empty log has no commits: %v, %v", log, err)
	}
	if _, err := s.d.Read(t.Context(), []string{"a"}, 1); !errors.Is(err, driver.ErrRevision) {
		t.Errorf("a revision that is still to come is ErrRevision: %v", err)
	}
	if s.d.Info().Name == "" {
		t.Errorf("a driver says its name")
	}
}

func testCommitAndRead(t *testing.T, s *suite) {
	c := s.commit(noon, put("b", `{"x":1}`), put("a/c", `[]`))
	if c.Revision != 1 || !c.Time.Equal(noon) || c.Time.Location() != time.UTC {
		t.Errorf("the first commit has revision 1 and its time in UTC: %+v", c)
	}
	snap := s.read(driver.Latest, "b", "a/c", "nothing", "b")
	s.same("what was committed is read in the order of keys, each once", show(snap.Versions), `a/c=[]@1 b={"x":1}@1`)
	v := snap.Versions[0]
	if v.Author != "ada" || v.Message != "because" || !v.Time.Equal(noon) || !snap.Time.Equal(noon) {
		t.Errorf("a version says who made it, why and when: %+v", v)
	}
	if c := s.commit(noon, put("b", `2`)); c.Revision != 2 {
		t.Errorf("revisions have no holes: %d after 1", c.Revision)
	}
	s.same("a later commit replaces, and leaves alone what it doesn't name", show(s.read(driver.Latest, "a/c", "b").Versions), `a/c=[]@1 b=2@2`)
}

func testExpectations(t *testing.T, s *suite) {
	ctx := t.Context()
	fails := func(rule string, has int64, e driver.Edit) {
		t.Helper()
		_, err := s.d.Commit(ctx, driver.Commit{Time: noon, Edits: []driver.Edit{e}})
		var conflict *driver.ConflictError
		if !errors.As(err, &conflict) || conflict.Key != e.Key || conflict.Revision != has || conflict.Expected != e.Expect {
			t.Errorf("%s: the error must be a *ConflictError with revision %d: %v", rule, has, err)
		}
	}
	fails("a version was expected of a key that isn't there", 0, expecting("a", `1`, 7))
	s.commit(noon, expecting("a", `1`, driver.Absent))
	fails("the key was expected to be absent", 1, expecting("a", `2`, driver.Absent))
	s.commit(noon, expecting("a", `2`, 1))
	fails("an older version was expected", 2, expecting("a", `3`, 1))
	fails("a version was expected that is still to come", 2, expecting("a", ``, 3))
	s.commit(noon, expecting("a", ``, 2))
	fails("the version before the deletion was expected", 0, expecting("a", `4`, 2))
	fails("the version of the deletion was expected", 0, expecting("a", `4`, 3))
	c := s.commit(noon, expecting("a", `5`, driver.Absent))
	if c.Revision != 4 {
		t.Errorf("a commit that fails takes no revision: %d instead of 4", c.Revision)
	}
	for _, e := range c.Edits {
		if e.Expect != 0 {
			t.Errorf("expectations aren't kept: %d", e.Expect)
		}
	}
}

func testAllOrNothing(t *testing.T, s *suite) {
	s.commit(noon, put("a", `1`), put("b", `1`))
	_, err := s.d.Commit(t.Context(), driver.Commit{Time: noon, Edits: []driver.Edit{put("a", `2`), put("c", `2`), expecting("b", `2`, 9)}})
	if !errors.Is(err, driver.ErrConflict) {
		t.Fatalf("one expectation that fails is a conflict: %v", err)
	}
	snap := s.read(driver.Latest, "a", "b", "c")
	s.same("when one expectation fails nothing changes", show(snap.Versions), `a=1@1 b=1@1`)
	if snap.Revision != 1 {
		t.Errorf("when one expectation fails there is no commit: revision %d", snap.Revision)
	}
}

func testDeletion(t *testing.T, s *suite) {
	s.commit(noon, put("a", `1`), put("b", `1`))
	s.commit(noon, put("a", ``))
	s.same("what is deleted is left out", show(s.read(driver.Latest, "a", "b").Versions), `b=1@1`)
	s.same("what is deleted was there before", show(s.read(1, "a").Versions), `a=1@1`)
	c := s.commit(noon, put("never", ``))
	log, err := s.d.Log(t.Context(), driver.Query{Prefix: "never", Limit: 1})
	if err != nil || len(log) != 1 || log[0].Revision != c.Revision || log[0].Edits[0].Value != nil {
		t.Errorf("a deletion is a commit like any other: %+v, %v", log, err)
	}
	s.commit(noon, put("a", `2`))
	s.same("what was deleted may come back", show(s.read(driver.Latest, "a").Versions), `a=2@4`)
	s.same("and was absent in between", show(s.read(3, "a").Versions), ``)
	s.commit(noon, put("a", `null`))
	s.same("null is a value and no deletion", show(s.read(driver.Latest, "a").Versions), `a=null@5`)
}

func testReadAt(t *testing.T, s *suite) {
	for i := range 5 {
		s.commit(noon, put("a", fmt.Sprint(i)), put(fmt.Sprint("k", i), `{}`))
	}
	for i := range 5 {
		snap := s.read(int64(i+1), "a", "k2")
		want := fmt.Sprintf("a=%d@%d", i, i+1)
		if i >= 2 {
			want += " k2={}@3"
		}
		s.same("a revision is read as it was", show(snap.Versions), want)
		if snap.Revision != int64(i+1) {
			t.Errorf("the snapshot of revision %d says %d", i+1, snap.Revision)
		}
	}
	if _, err := s.d.Read(t.Context(), []string{"a"}, 6); !errors.Is(err, driver.ErrRevision) {
		t.Errorf("a revision that is still to come is ErrRevision: %v", err)
	}
	if _, err := s.d.List(t.Context(), driver.Listing{Limit: 1, At: -4}); !errors.Is(err, driver.ErrRevision) {
		t.Errorf("a revision that never was is ErrRevision: %v", err)
	}
}

func testList(t *testing.T, s *suite) {
	var edits []driver.Edit
	for _, key := range []string{"base", "base/orders", "base/orders-x", "base/orders/deep", "base-x", "base.x", "basement", "b", "zebra", "_x", "0"} {
		edits = append(edits, put(key, `1`))
	}
	s.commit(noon, edits...)
	s.commit(noon, put("zebra", ``))
	list := func(l driver.Listing) string {
		t.Helper()
		snap, err := s.d.List(t.Context(), l)
		if err != nil {
			t.Fatal(err)
		}
		keys := make([]string, len(snap.Versions))
		for i, v := range snap.Versions {
			keys[i] = v.Key
		}
		return strings.Join(keys, " ")
	}
	s.same("keys are in the order of their bytes, without what is deleted", list(driver.Listing{Limit: 100}),
		"0 _x b base base-x base.x base/orders base/orders-x base/orders/deep basement")
	s.same("a prefix ends where a segment ends", list(driver.Listing{Prefix: "base", Limit: 100}), "base base/orders base/orders-x base/orders/deep")
	s.same("a prefix ends where a segment ends", list(driver.Listing{Prefix: "base/orders", Limit: 100}), "base/orders base/orders/deep")
	s.same("Limit bounds", list(driver.Listing{Prefix: "base", Limit: 2}), "base base/orders")
	s.same("After goes on", list(driver.Listing{Prefix: "base", After: "base/orders", Limit: 2}), "base/orders-x base/orders/deep")
	s.same("After needn't be there", list(driver.Listing{After: "base/p", Limit: 9}), "basement")
	s.same("a revision is listed as it was", list(driver.Listing{At: 1, After: "basement", Limit: 9}), "zebra")
	s.same("a prefix may have nothing", list(driver.Listing{Prefix: "nothing", Limit: 9}), "")
}

func testLog(t *testing.T, s *suite) {
	s.commit(noon, put("a", `1`), put("b/c", `1`))
	s.commit(noon, put("a", `2`))
	s.commit(noon, put("b/c", ``), put("a/x", `3`))
	s.commit(noon, put("bc", `4`))
	log := func(q driver.Query) string {
		t.Helper()
		commits, err := s.d.Log(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		var texts []string
		for _, c := range commits {
			edits := make([]string, len(c.Edits))
			for i, e := range c.Edits {
				edits[i] = fmt.Sprintf("%s=%s", e.Key, e.Value)
			}
			if c.Author != "ada" || c.Message != "because" || !c.Time.Equal(noon) {
				t.Errorf("a commit says who made it, why and when: %+v", c)
			}
			texts = append(texts, fmt.Sprint(c.Revision, " ", strings.Join(edits, " ")))
		}
		return strings.Join(texts, "; ")
	}
	s.same("the newest comes first, with its edits in their order", log(driver.Query{Limit: 9}), "4 bc=4; 3 b/c= a/x=3; 2 a=2; 1 a=1 b/c=1")
	s.same("of a prefix, with all edits of the commit", log(driver.Query{Prefix: "b", Limit: 9}), "3 b/c= a/x=3; 1 a=1 b/c=1")
	s.same("of a key and what is below", log(driver.Query{Prefix: "a", Limit: 2}), "3 b/c= a/x=3; 2 a=2")
	s.same("Before goes on", log(driver.Query{Prefix: "a", Before: 2, Limit: 2}), "1 a=1 b/c=1")
}

func testMoment(t *testing.T, s *suite) {
	for i := range 4 {
		s.commit(noon.Add(time.Duration(i/2)*time.Minute), put("a", fmt.Sprint(i)))
	}
	for _, c := range []struct {
		at   time.Duration
		want int64
	}{{-time.Millisecond, 0}, {0, 2}, {59 * time.Second, 2}, {time.Minute, 4}, {time.Hour, 4}} {
		if got, err := s.d.Moment(t.Context(), noon.Add(c.at)); err != nil || got != c.want {
			t.Errorf("%v after noon the revision was %d: got %d, %v", c.at, c.want, got, err)
		}
	}
}

func testTime(t *testing.T, s *suite) {
	s.commit(noon, put("a", `1`))
	c := s.commit(noon.Add(-time.Hour), put("a", `2`))
	if !c.Time.Equal(noon) {
		t.Errorf("a clock that runs backwards doesn't take the log along: %v", c.Time)
	}
	v := s.read(driver.Latest, "a").Versions[0]
	if !v.Time.Equal(c.Time) {
		t.Errorf("what Commit returns is what is kept: %v and %v", c.Time, v.Time)
	}
	c = s.commit(noon.Add(1500*time.Microsecond), put("a", `3`))
	if v := s.read(driver.Latest, "a").Versions[0]; !c.Time.Equal(noon.Add(time.Millisecond)) || !v.Time.Equal(c.Time) {
		t.Errorf("times are kept in milliseconds: %v, read as %v", c.Time, v.Time)
	}
}

func testOtherConnection(t *testing.T, s *suite) {
	other := s.open(t)
	for i := range 20 {
		c := s.commit(noon, put("a", fmt.Sprint(i)))
		snap, err := other.Read(t.Context(), []string{"a"}, driver.Latest)
		if err != nil {
			t.Fatal(err)
		}
		s.same("a commit that has returned is read by everybody", show(snap.Versions), fmt.Sprintf("a=%d@%d", i, c.Revision))
	}
	if _, err := other.Commit(t.Context(), driver.Commit{Time: noon, Edits: []driver.Edit{expecting("a", `1`, 19)}}); !errors.Is(err, driver.ErrConflict) {
		t.Errorf("expectations hold for everybody: %v", err)
	}
}

// testRace has writers count up one value, each by compare and set.
func testRace(t *testing.T, s *suite) {
	const writers, each = 4, 10
	s.commit(noon, put("n", `0`))
	var wg sync.WaitGroup
	for range writers {
		d := s.open(t)
		wg.Go(func() {
			for done := 0; done < each; {
				snap, err := d.Read(t.Context(), []string{"n"}, driver.Latest)
				if err != nil {
					t.Error(err)
					return
				}
				v := snap.Versions[0]
				var n int
				_, _ = fmt.Sscan(string(v.Value), &n)
				_, err = d.Commit(t.Context(), driver.Commit{Time: noon, Edits: []driver.Edit{expecting("n", fmt.Sprint(n+1), v.Revision)}})
				switch {
				case err == nil:
					done++
				case !errors.Is(err, driver.ErrConflict):
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	s.same("no update is lost", show(s.read(driver.Latest, "n").Versions), fmt.Sprintf("n=%d@%d", writers*each, writers*each+1))
}

// testDeletionRace has some delete a key that others write, all of the same
// version.
func testDeletionRace(t *testing.T, s *suite) {
	for round := range 5 {
		was := s.commit(noon, put("a", `0`)).Revision
		var wg sync.WaitGroup
		won := make([]bool, 4)
		for i := range won {
			d, value := s.open(t), ""
			if i%2 == 0 {
				value = fmt.Sprint(i)
			}
			wg.Go(func() {
				_, err := d.Commit(t.Context(), driver.Commit{Time: noon, Edits: []driver.Edit{expecting("a", value, was)}})
				if won[i] = err == nil; err != nil && !errors.Is(err, driver.ErrConflict) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		winners := 0
		want := ""
		for i, ok := range won {
			if ok {
				winners++
				if i%2 == 0 {
					want = fmt.Sprintf("a=%d@%d", i, was+1)
				}
			}
		}
		if winners != 1 {
			t.Fatalf("round %d: of those who write or delete one version one succeeds: %v", round, won)
		}
		s.same("and what it did is there", show(s.read(driver.Latest, "a").Versions), want)
	}
}

// testSnapshots reads two keys that are always written together.
func testSnapshots(t *testing.T, s *suite) {
	d := s.open(t)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		defer stop()
		for i := range 60 {
			if _, err := d.Commit(t.Context(), driver.Commit{Time: noon, Edits: []driver.Edit{put("a", fmt.Sprint(i)), put("b", fmt.Sprint(i))}}); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for ctx.Err() == nil {
		for _, get := range []func() (driver.Snapshot, error){
			func() (driver.Snapshot, error) { return s.d.Read(t.Context(), []string{"a", "b"}, driver.Latest) },
			func() (driver.Snapshot, error) { return s.d.List(t.Context(), driver.Listing{Limit: 10}) },
		} {
			snap, err := get()
			if err != nil {
				t.Fatal(err)
			}
			v := snap.Versions
			if len(v) != 0 && (len(v) != 2 || string(v[0].Value) != string(v[1].Value) || snap.Revision != v[0].Revision) {
				t.Fatalf("no commit is seen in part, and the snapshot's revision is the log's: %s in revision %d", show(v), snap.Revision)
			}
		}
	}
	wg.Wait()
}

func testLongValues(t *testing.T, s *suite) {
	long := `"` + strings.Repeat("ü", 100_000) + `"`
	s.commit(noon, put("long", long))
	s.same("a long value comes back", show(s.read(driver.Latest, "long").Versions), "long="+long+"@1")
}

func testCancelled(t *testing.T, s *suite) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.d.Commit(ctx, driver.Commit{Time: noon, Edits: []driver.Edit{put("a", `1`)}}); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled Commit says so: %v", err)
	}
	if _, err := s.d.Read(ctx, []string{"a"}, driver.Latest); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled Read says so: %v", err)
	}
	s.same("and has done nothing", show(s.read(driver.Latest, "a").Versions), "")
}

// testModel compares with a map after each of many random commits.
func testModel(t *testing.T, s *suite) {
	r := rand.New(rand.NewPCG(1, 2))
	keys := []string{"a", "a/b", "a/b/c", "ab", "b", "c"}
	type state map[string]string // key to "value@revision"
	states := []state{{}}
	for rev := 1; rev <= 40; {
		last := states[len(states)-1]
		next := maps.Clone(last)
		var edits []driver.Edit
		ok := true
		for _, i := range r.Perm(len(keys))[:1+r.IntN(3)] {
			key, value, expect := keys[i], "", driver.Any
			if r.IntN(4) > 0 {
				value = fmt.Sprint(r.IntN(100))
			}
			if r.IntN(2) == 0 {
				expect = int64(r.IntN(rev))
				has := int64(0)
				if v, there := last[key]; there {
					_, _ = fmt.Sscan(v[strings.IndexByte(v, '@')+1:], &has)
				}
				if r.IntN(2) == 0 {
					expect = has
				}
				ok = ok && expect == has
			}
			edits = append(edits, expecting(key, value, expect))
			if delete(next, key); value != "" {
				next[key] = fmt.Sprintf("%s@%d", value, rev)
			}
		}
		_, err := s.d.Commit(t.Context(), driver.Commit{Time: noon, Edits: edits})
		if (err == nil) != ok {
			t.Fatalf("revision %d: %+v should succeed: %v; it gave %v", rev, edits, ok, err)
		}
		if !ok {
			continue
		}
		states = append(states, next)
		rev++
	}
	for rev, want := range states[1:] {
		snap, err := s.d.List(t.Context(), driver.Listing{Limit: 100, At: int64(rev + 1)})
		if err != nil {
			t.Fatal(err)
		}
		got := state{}
		for _, v := range snap.Versions {
			got[v.Key] = fmt.Sprintf("%s@%d", v.Value, v.Revision)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("revision %d is %v; the model says %v", rev+1, got, want)
		}
		s.same("Read says what List says", show(s.read(int64(rev+1), keys...).Versions), show(snap.Versions))
	}
}
