// Package authtest tells whether a store for package login keeps the contract
// of package driver. A store's test calls [Run]:
//
//	func TestConformance(t *testing.T) {
//		authtest.Run(t, func(t *testing.T) driver.Store { … })
//	}
package authtest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/goswale/swale/auth/driver"
)

// Run checks the stores that open returns: each must be empty, and not change
// but by who got it. Open cleans up by t.Cleanup.
func Run(t *testing.T, open func(t *testing.T) driver.Store) {
	t.Helper()
	for _, c := range []struct {
		name  string
		check func(t *testing.T, s driver.Store)
	}{
		{"a record is there as it was written", written},
		{"a write names the version that is there", versions},
		{"a unique key belongs to one record of its kind", unique},
		{"records are found by key, in order, in pages", find},
		{"a write is done whole or not at all", atomicity},
		{"what has expired isn't there", expiry},
		{"of those who change a version one succeeds", racing},
		{"sweeping deletes what has expired", sweep},
		{"data is kept byte for byte", bytesKept},
		{"an ended context is heard", cancelled},
	} {
		t.Run(c.name, func(t *testing.T) { c.check(t, open(t)) })
	}
}

var now = time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)

func put(t *testing.T, s driver.Store, r driver.Record) {
	t.Helper()
	if err := write(t, s, r); err != nil {
		t.Fatalf("writing %s %q: %v", r.Kind, r.ID, err)
	}
}

func write(t *testing.T, s driver.Store, r driver.Record) error {
	t.Helper()
	return s.Write(t.Context(), []driver.Op{{Record: r}}, nil, now)
}

func record(kind, id, unique string, keys ...string) driver.Record {
	return driver.Record{Kind: kind, ID: id, Unique: unique, Keys: keys, Data: []byte(`{"id":"` + id + `"}`)}
}

func written(t *testing.T, s driver.Store) {
	if _, err := s.Get(t.Context(), "account", "a/1", now); !errors.Is(err, driver.ErrNotFound) {
		t.Errorf("Get of a record that isn't there: %v, want ErrNotFound", err)
	}
	r := record("account", "a/1", "name", "k1", "k2")
	r.Expires = now.Add(time.Hour + 123*time.Millisecond)
	put(t, s, r)
	got, err := s.Get(t.Context(), "account", "a/1", now)
	if err != nil {
		t.Fatal(err)
	}
	if got.Version != 1 || got.Unique != r.Unique || string(got.Data) != string(r.Data) || !got.Expires.Equal(r.Expires) || !reflect.DeepEqual(got.Keys, r.Keys) {
		t.Errorf("wrote %+v, read %+v", r, got)
	}
	if _, err := s.Get(t.Context(), "session", "a/1", now); !errors.Is(err, driver.ErrNotFound) {
		t.Errorf("an id of another kind: %v, want ErrNotFound", err)
	}
	got.Data[0], got.Keys[0] = 'x', "changed"
	again, err := s.Get(t.Context(), "account", "a/1", now)
	if err != nil || string(again.Data) != string(r.Data) || again.Keys[0] != "k1" {
		t.Errorf("what was read belongs to its reader: %+v, %v", again, err)
	}
}

func versions(t *testing.T, s driver.Store) {
	r := record("account", "1", "")
	r.Version = 1
	if err := write(t, s, r); !errors.Is(err, driver.ErrConflict) {
		t.Errorf("a write to version 1 of what isn't there: %v, want ErrConflict", err)
	}
	r.Version = 0
	put(t, s, r)
	if err := write(t, s, r); !errors.Is(err, driver.ErrConflict) {
		t.Errorf("a second record with the same id: %v, want ErrConflict", err)
	}
	r.Version = 1
	put(t, s, r)
	if err := write(t, s, r); !errors.Is(err, driver.ErrConflict) {
		t.Errorf("a write to a version from before: %v, want ErrConflict", err)
	}
	del := driver.Op{Record: driver.Record{Kind: "account", ID: "1", Version: 1}, Delete: true}
	if err := s.Write(t.Context(), []driver.Op{del}, nil, now); !errors.Is(err, driver.ErrConflict) {
		t.Errorf("deleting a version from before: %v, want ErrConflict", err)
	}
	del.Version = 2
	if err := s.Write(t.Context(), []driver.Op{del}, nil, now); err != nil {
		t.Error(err)
	}
	if _, err := s.Get(t.Context(), "account", "1", now); !errors.Is(err, driver.ErrNotFound) {
		t.Errorf("a record that was deleted: %v, want ErrNotFound", err)
	}
	r.Version = 0
	put(t, s, r)
}

func unique(t *testing.T, s driver.Store) {
	put(t, s, record("account", "1", "ada"))
	if err := write(t, s, record("account", "2", "ada")); !errors.Is(err, driver.ErrExists) {
		t.Errorf("the same unique key: %v, want ErrExists", err)
	}
	if _, err := s.Get(t.Context(), "account", "2", now); !errors.Is(err, driver.ErrNotFound) {
		t.Errorf("a record that was refused is there: %v", err)
	}
	put(t, s, record("session", "2", "ada")) // another kind
	put(t, s, record("account", "3", ""))
	put(t, s, record("account", "4", "")) // none isn't one
	r := record("account", "1", "bo")
	r.Version = 1
	put(t, s, r) // gives its key back
	put(t, s, record("account", "5", "ada"))
	r = record("account", "5", "ada")
	r.Version = 1
	put(t, s, r) // keeps its own
}

func find(t *testing.T, s driver.Store) {
	for i := range 25 {
		put(t, s, record("session", fmt.Sprintf("%02d", i), fmt.Sprint("u", i), fmt.Sprint("of", i%2), "all"))
	}
	put(t, s, record("account", "x", "", "all"))
	page := func(key, after string, limit int) []string {
		t.Helper()
		found, err := s.Find(t.Context(), "session", key, after, limit, now)
		if err != nil {
			t.Fatal(err)
		}
		ids := []string{}
		for _, r := range found {
			ids = append(ids, r.ID)
			if r.Version != 1 || len(r.Data) == 0 {
				t.Errorf("found %+v without its version or data", r)
			}
		}
		return ids
	}
	for _, c := range []struct {
		key, after string
		limit      int
		want       []string
	}{
		{"u7", "", 10, []string{"07"}},
		{"of1", "", 3, []string{"01", "03", "05"}},
		{"of1", "05", 2, []string{"07", "09"}},
		{"all", "22", 10, []string{"23", "24"}},
		{"", "23", 10, []string{"24"}},
		{"nothing", "", 10, []string{}},
		{"all", "24", 10, []string{}},
	} {
		if got := page(c.key, c.after, c.limit); !reflect.DeepEqual(got, c.want) {
			t.Errorf("key %q after %q, up to %d: %q, want %q", c.key, c.after, c.limit, got, c.want)
		}
	}
	r := record("session", "07", "u7", "elsewhere")
	r.Version = 1
	put(t, s, r)
	if got := page("of1", "05", 1); !reflect.DeepEqual(got, []string{"09"}) {
		t.Errorf("a record is found by a key that it doesn't have any more: %q", got)
	}
}

func atomicity(t *testing.T, s driver.Store) {
	put(t, s, record("account", "1", "ada"))
	first := record("account", "1", "changed")
	first.Version = 1
	for name, last := range map[string]driver.Record{
		"a conflict":  {Kind: "account", ID: "9", Version: 3, Data: []byte("{}")},
		"a taken key": record("session", "2", "taken"),
	} {
		if last.Kind == "session" {
			put(t, s, record("session", "1", "taken"))
		}
		err := s.Write(t.Context(), []driver.Op{{Record: first}, {Record: record("account", "new", "")}, {Record: last}}, nil, now)
		if err == nil {
			t.Fatalf("%s is no error", name)
		}
		got, err := s.Get(t.Context(), "account", "1", now)
		if err != nil || got.Unique != "ada" || got.Version != 1 {
			t.Errorf("after %s the first op was done all the same: %+v, %v", name, got, err)
		}
		if _, err := s.Get(t.Context(), "account", "new", now); !errors.Is(err, driver.ErrNotFound) {
			t.Errorf("after %s a new record is there: %v", name, err)
		}
	}
}

func expiry(t *testing.T, s driver.Store) {
	r := record("code", "1", "u", "k")
	r.Expires = now.Add(time.Minute)
	put(t, s, r)
	at := now.Add(time.Minute)
	if _, err := s.Get(t.Context(), "code", "1", at.Add(-time.Millisecond)); err != nil {
		t.Errorf("just before it expires: %v", err)
	}
	if _, err := s.Get(t.Context(), "code", "1", at); !errors.Is(err, driver.ErrNotFound) {
		t.Errorf("when it has expired: %v, want ErrNotFound", err)
	}
	if found, err := s.Find(t.Context(), "code", "k", "", 10, at); err != nil || len(found) != 0 {
		t.Errorf("what has expired is found: %v, %v", found, err)
	}
	r.Version = 1
	if err := s.Write(t.Context(), []driver.Op{{Record: r}}, nil, at); !errors.Is(err, driver.ErrConflict) {
		t.Errorf("a write to what has expired: %v, want ErrConflict", err)
	}
	other := record("code", "2", "u")
	if err := s.Write(t.Context(), []driver.Op{{Record: other}}, nil, at); err != nil {
		t.Errorf("the unique key of what has expired is free: %v", err)
	}
	again := record("code", "1", "v")
	if err := s.Write(t.Context(), []driver.Op{{Record: again}}, nil, at); err != nil {
		t.Errorf("the id of what has expired is free: %v", err)
	}
	got, err := s.Get(t.Context(), "code", "1", at)
	if err != nil || got.Version != 1 || !got.Expires.IsZero() {
		t.Errorf("the new record has something of the old one: %+v, %v", got, err)
	}
}

func racing(t *testing.T, s driver.Store) {
	put(t, s, record("account", "1", ""))
	var won atomic.Int32
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() {
			r := record("account", "1", "")
			r.Version = 1
			err := s.Write(t.Context(), []driver.Op{{Record: r}}, nil, now)
			switch {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, driver.ErrConflict):
				t.Errorf("who was too late: %v, want ErrConflict", err)
			}
		})
	}
	group.Wait()
	if n := won.Load(); n != 1 {
		t.Errorf("%d of 16 changed the same version, want 1", n)
	}
	won.Store(0)
	for i := range 16 {
		group.Go(func() {
			err := s.Write(t.Context(), []driver.Op{{Record: record("account", fmt.Sprint("n", i), "one name")}}, nil, now)
			switch {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, driver.ErrExists):
				t.Errorf("who was too late: %v, want ErrExists", err)
			}
		})
	}
	group.Wait()
	if n := won.Load(); n != 1 {
		t.Errorf("%d of 16 got the same unique key, want 1", n)
	}
}

func sweep(t *testing.T, s driver.Store) {
	for i := range 10 {
		r := record("code", fmt.Sprint(i), "")
		if i > 0 {
			r.Expires = now.Add(time.Duration(i) * time.Minute)
		}
		put(t, s, r)
	}
	at := now.Add(5 * time.Minute)
	total := 0
	for range 3 {
		n, err := s.Sweep(t.Context(), 3, at)
		if err != nil || n > 3 {
			t.Fatalf("sweeping up to 3: %d, %v", n, err)
		}
		total += n
	}
	if total != 5 {
		t.Errorf("%d records were swept, want 5", total)
	}
	if found, err := s.Find(t.Context(), "code", "", "", 100, now); err != nil || len(found) != 5 {
		t.Errorf("%d records are left, want 5: %v", len(found), err)
	}
}

func bytesKept(t *testing.T, s driver.Store) {
	r := record("account", "ünï/cödé 🗝 '\"\\%_", "n'am\"e%", "k'e\"y")
	r.Data = []byte(`{"a":  1.50, "b":"\u00fc", "c":null}`)
	put(t, s, r)
	got, err := s.Get(t.Context(), r.Kind, r.ID, now)
	if err != nil || string(got.Data) != string(r.Data) || got.ID != r.ID || got.Unique != r.Unique {
		t.Errorf("wrote %s %q, read %s %q, %v", r.Data, r.ID, got.Data, got.ID, err)
	}
	if found, err := s.Find(t.Context(), r.Kind, "k'e\"y", "", 1, now); err != nil || len(found) != 1 {
		t.Errorf("a key with quotes: %d found, %v", len(found), err)
	}
}

func cancelled(t *testing.T, s driver.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Write(ctx, []driver.Op{{Record: record("account", "1", "")}}, nil, now); err == nil {
		t.Error("a write with an ended context succeeds")
	}
	if _, err := s.Get(t.Context(), "account", "1", now); !errors.Is(err, driver.ErrNotFound) {
		t.Errorf("a write with an ended context was done: %v", err)
	}
}
