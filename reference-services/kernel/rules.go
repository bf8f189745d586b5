package kernel

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/goswale/swale/configsvc"
	"github.com/goswale/swale/configsvc/store"
	"github.com/goswale/swale/discovery/rules"
	"github.com/goswale/swale/reference-services/door"
	"github.com/goswale/swale/reference-services/liveops"
)

// kernelItself is the author of what the kernel writes.
const kernelItself = "kernel"

// checkRules refuses rules of the door and of live operations that can't be used, or
// that lint has something to say about, before they are written.
func checkRules(_ context.Context, c store.Candidate) error {
	switch {
	case c.After.IsZero():
		return nil
	case c.Key == door.Key:
		return door.Check(c.After.JSON())
	case c.Key == liveops.Key:
		return liveops.Check(c.After.JSON())
	}
	return nil
}

// describeRules stores the JSON Schemas of rules beside them, so that the page helps
// who writes them.
func describeRules(ctx context.Context, s *store.Store) error {
	return errors.Join(describe(ctx, s, door.Key, rules.Schema()), describe(ctx, s, liveops.Key, liveops.Schema()))
}

// describe stores a schema. One that somebody else has written stays.
func describe(ctx context.Context, s *store.Store, of, text string) error {
	key := "_schemas/" + of
	schema, err := configsvc.Parse([]byte(text))
	if err != nil {
		return err
	}
	edit := store.Edit{Key: key, Value: schema, Expect: store.Absent}
	switch d, err := s.Get(ctx, key, 0); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case d.Author != kernelItself || d.Value.String() == schema.String():
		return nil
	default:
		edit.Expect = d.Version
	}
	_, err = s.Write(ctx, store.Write{Author: kernelItself, Message: "the schema of rules", Edits: []store.Edit{edit}})
	if err != nil {
		return fmt.Errorf("the schema of %s: %w", of, err)
	}
	return nil
}
