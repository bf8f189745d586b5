package store

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/goswale/swale/configsvc"
	"github.com/goswale/swale/configsvc/driver"
)

// Consumer is somebody who compiles a list of keys.
type Consumer struct {
	// Name is for people: a service, or a service with an instance.
	Name string `json:"name"`
	// Keys are the layers, the weakest first.
	Keys []string `json:"keys"`
}

// CompileOptions are the options of Compile. The zero value, and nil, are
// useful.
type CompileOptions struct {
	// At compiles what was there at a revision. Default 0, now.
	At int64
	// Reveal decrypts secrets. The caller has to know that they may be. Default:
	// they are redacted.
	Reveal bool
	// Instance decides about rollouts. Default: none applies.
	Instance *Instance
}

// Compilation is a configuration.
type Compilation struct {
	// Value is the result.
	Value configsvc.Value
	// Hash identifies the result, whether secrets are revealed or not.
	Hash string
	// Revision is the latest commit that was seen.
	Revision int64
	// Layers say which versions it was compiled from; 0 where there is none.
	Layers []configsvc.LayerRef
	// Secrets are the JSON Pointers of the secrets that were revealed.
	Secrets []string
	// Rollouts are the ids of those that the instance is part of.
	Rollouts []string

	compiled *configsvc.Compiled
}

// Explain says which layer set each value. Secrets are redacted.
func (c *Compilation) Explain() []configsvc.Setting {
	settings := c.compiled.Explain()
	for i := range settings {
		s := &settings[i]
		s.Value = configsvc.Redact(s.Value)
		s.Overrides = slices.Clone(s.Overrides)
		for j := range s.Overrides {
			s.Overrides[j].Value = configsvc.Redact(s.Overrides[j].Value)
		}
	}
	return settings
}

// Compile merges the keys, from the weakest to the strongest. Keys that aren't
// there are empty layers. The error matches configsvc.ErrConflict when layers
// conflict.
func (s *Store) Compile(ctx context.Context, keys []string, opts *CompileOptions) (*Compilation, error) {
	var o CompileOptions
	if opts != nil {
		o = *opts
	}
	if err := configsvc.CheckKeys(keys); err != nil {
		return nil, err
	}
	snap, err := s.driver.Read(ctx, keys, o.At)
	if err != nil {
		return nil, fmt.Errorf("store: read %s: %w", strings.Join(keys, ", "), err)
	}
	layers, err := s.layers(keys, snap)
	if err != nil {
		return nil, err
	}
	c := &Compilation{Revision: snap.Revision}
	if o.Instance != nil && o.At == 0 {
		if c.Rollouts, err = s.overlay(ctx, layers, *o.Instance, snap.Revision); err != nil {
			return nil, err
		}
	}
	if c.compiled, err = s.compile(layers, c.Rollouts); err != nil {
		return nil, err
	}
	for _, l := range layers {
		c.Layers = append(c.Layers, configsvc.LayerRef{Name: l.Name, Version: l.Version})
	}
	c.Hash = c.compiled.Hash
	if !o.Reveal {
		c.Value = configsvc.Redact(c.compiled.Value)
		return c, nil
	}
	revealed, err := s.open(ctx, c.compiled.Value, keys...)
	c.Value, c.Secrets = revealed.value, revealed.paths
	return c, err
}

func (s *Store) layers(keys []string, snap driver.Snapshot) ([]configsvc.Layer, error) {
	layers := make([]configsvc.Layer, len(keys))
	for i, key := range keys {
		layers[i].Name = key
		for _, v := range snap.Versions {
			if v.Key != key {
				continue
			}
			value, err := s.parse(v)
			if err != nil {
				return nil, err
			}
			layers[i].Version, layers[i].Value = v.Revision, value
		}
	}
	return layers, nil
}

// maxCompiled bounds how many results are kept.
const maxCompiled = 1024

// compile merges, unless the same versions were merged before. A thousand
// instances that hear of a change ask for a few results.
func (s *Store) compile(layers []configsvc.Layer, rollouts []string) (*configsvc.Compiled, error) {
	if len(rollouts) > 0 {
		return configsvc.Compile(layers...) // their layers have values without a version of their own
	}
	var b strings.Builder
	for _, l := range layers {
		fmt.Fprintf(&b, "%s@%d ", l.Name, l.Version)
	}
	id := b.String()
	s.mu.Lock()
	c := s.compiled[id]
	s.mu.Unlock()
	if c != nil {
		return c, nil
	}
	c, err := configsvc.Compile(layers...)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.compiled) >= maxCompiled {
		clear(s.compiled)
	}
	s.compiled[id] = c
	return c, nil
}

// Effect is what a write does to a consumer.
type Effect struct {
	Consumer Consumer `json:"consumer"`
	// Before and After are the hashes; empty where it can't be compiled.
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
	// Diff is what changes in its configuration. Secrets are redacted.
	Diff []configsvc.Change `json:"diff,omitempty"`
	// Problem says why it could not be compiled afterwards.
	Problem string `json:"problem,omitempty"`
	// AlreadyBroken says that it can't be compiled before either.
	AlreadyBroken bool `json:"alreadyBroken,omitempty"`
}

// Preview is what a write would do.
type Preview struct {
	// Commit is the write as it would be made.
	Commit *Commit `json:"commit"`
	// Effects are the consumers whose configuration would change.
	Effects []Effect `json:"effects"`
}

// Preview checks a write as Write does, and says what it would change for each
// of its Consumers, without making it. A consumer whose layers would conflict is
// among the effects and no error.
func (s *Store) Preview(ctx context.Context, w Write) (*Preview, error) {
	consumers := w.Consumers
	w.Consumers = nil
	p, err := s.plan(ctx, w)
	if err != nil {
		return nil, err
	}
	if err := s.checkRollouts(ctx, p); err != nil {
		return nil, err
	}
	return s.preview(ctx, p, consumers)
}

func (s *Store) preview(ctx context.Context, p *plan, consumers []Consumer) (*Preview, error) {
	effects, err := s.effects(ctx, p, consumers)
	if err != nil {
		return nil, err
	}
	commit := p.described()
	commit.Time = s.opts.Clock().UTC()
	return &Preview{Commit: commit, Effects: effects}, nil
}

// effects compiles for each consumer that has one of the keys, as it is and as
// it would be.
func (s *Store) effects(ctx context.Context, p *plan, consumers []Consumer) ([]Effect, error) {
	effects := []Effect{}
	for _, c := range consumers {
		if !slices.ContainsFunc(c.Keys, func(key string) bool { return p.edit(key) != nil }) {
			continue
		}
		snap, err := s.driver.Read(ctx, c.Keys, driver.Latest)
		if err != nil {
			return nil, fmt.Errorf("store: read the layers of %s: %w", c.Name, err)
		}
		layers, err := s.layers(c.Keys, snap)
		if err != nil {
			return nil, err
		}
		e := Effect{Consumer: c}
		before, err := configsvc.Compile(layers...)
		e.AlreadyBroken = err != nil
		for i, l := range layers {
			if edit := p.edit(l.Name); edit != nil {
				layers[i].Value, layers[i].Version = edit.after, 0
			}
		}
		after, err := configsvc.Compile(layers...)
		if err != nil {
			e.Problem = err.Error()
		}
		if before != nil && after != nil {
			e.Diff = configsvc.Diff(configsvc.Redact(before.Value), configsvc.Redact(after.Value))
		}
		if before != nil {
			e.Before = before.Hash
		}
		if after != nil {
			e.After = after.Hash
		}
		if e.Before != e.After || e.Problem != "" {
			effects = append(effects, e)
		}
	}
	return effects, nil
}
