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
)

// kernelItself is the author of what the kernel writes.
const kernelItself = "kernel"

// checkRules refuses rules of the door that can't be used, or that lint has
// something to say about, before they are written.
func checkRules(_ context.Context, c store.Candidate) error {
	if c.Key != door.Key || c.After.IsZero() {
		return nil
	}
	return door.Check(c.After.JSON())
}

// describeRules stores the rules' JSON Schema beside them, so that the page helps
// who writes them. One that somebody else has written stays.
func describeRules(ctx context.Context, s *store.Store) error {
	const key = "_schemas/" + door.Key
	schema, err := configsvc.Parse([]byte(rules.Schema()))
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
		return fmt.Errorf("the schema of rules: %w", err)
	}
	return nil
}
