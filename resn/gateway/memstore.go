package gateway

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"sync"
)

// MemoryStore is a Store that ends with the process. Its zero value is ready; it
// must not be copied.
type MemoryStore struct {
	mu            sync.Mutex
	tokens        map[string]Token // by ID
	topics        map[string]Topic
	subscriptions map[string]Subscription
}

var _ Store = (*MemoryStore)(nil)

// Ping implements Store.
func (m *MemoryStore) Ping(context.Context) error { return nil }

// AddToken implements Store.
func (m *MemoryStore) AddToken(_ context.Context, t Token) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, other := range m.tokens {
		if other.ID == t.ID || other.Hash == t.Hash {
			return exists(t.ID)
		}
	}
	if m.tokens == nil {
		m.tokens = map[string]Token{}
	}
	m.tokens[t.ID] = t
	return nil
}

// TokenByHash implements Store.
func (m *MemoryStore) TokenByHash(_ context.Context, hash string) (Token, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, t := range m.tokens {
		if t.Hash == hash {
			return t, nil
		}
	}
	return Token{}, missing("token", "")
}

// Tokens implements Store.
func (m *MemoryStore) Tokens(context.Context) ([]Token, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return sorted(m.tokens, func(t Token) string { return t.ID }), nil
}

// RemoveToken implements Store.
func (m *MemoryStore) RemoveToken(_ context.Context, id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.tokens, id)
	delete(m.subscriptions, id)
	for name, t := range m.topics {
		if t.Owner == id {
			t.Owner = ""
			m.topics[name] = t
		}
	}
	return nil
}

// ClaimTopic implements Store.
func (m *MemoryStore) ClaimTopic(_ context.Context, name, owner string) (Topic, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.topics[name]
	t.Name = name
	if t.Owner == "" {
		t.Owner = owner
	}
	if m.topics == nil {
		m.topics = map[string]Topic{}
	}
	m.topics[name] = t
	return t, nil
}

// Topic implements Store.
func (m *MemoryStore) Topic(_ context.Context, name string) (Topic, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t, ok := m.topics[name]
	if !ok {
		return Topic{}, missing("topic", name)
	}
	return t, nil
}

// Topics implements Store.
func (m *MemoryStore) Topics(context.Context) ([]Topic, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return sorted(m.topics, func(t Topic) string { return t.Name }), nil
}

// RemoveTopic implements Store.
func (m *MemoryStore) RemoveTopic(_ context.Context, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.topics[name]; !ok {
		return missing("topic", name)
	}
	delete(m.topics, name)
	for id, s := range m.subscriptions {
		s.Topics = without(s.Topics, name)
		m.subscriptions[id] = s
	}
	return nil
}

// CountEvents implements Store.
func (m *MemoryStore) CountEvents(_ context.Context, name string, n int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if t, ok := m.topics[name]; ok {
		t.Events += n
		m.topics[name] = t
	}
	return nil
}

// PutSubscription implements Store.
func (m *MemoryStore) PutSubscription(_ context.Context, s Subscription) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	s.Topics, s.Types = slices.Clone(s.Topics), slices.Clone(s.Types)
	s.Sent = m.subscriptions[s.Subscriber].Sent
	if m.subscriptions == nil {
		m.subscriptions = map[string]Subscription{}
	}
	m.subscriptions[s.Subscriber] = s
	return nil
}

// Subscription implements Store.
func (m *MemoryStore) Subscription(_ context.Context, subscriber string) (Subscription, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.subscriptions[subscriber]
	if !ok {
		return Subscription{}, missing("subscription of", subscriber)
	}
	s.Topics, s.Types = slices.Clone(s.Topics), slices.Clone(s.Types)
	return s, nil
}

// Subscriptions implements Store.
func (m *MemoryStore) Subscriptions(context.Context) ([]Subscription, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := sorted(m.subscriptions, func(s Subscription) string { return s.Subscriber })
	for i := range all {
		all[i].Topics, all[i].Types = slices.Clone(all[i].Topics), slices.Clone(all[i].Types)
	}
	return all, nil
}

// RemoveSubscription implements Store.
func (m *MemoryStore) RemoveSubscription(_ context.Context, subscriber string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.subscriptions[subscriber]; !ok {
		return missing("subscription of", subscriber)
	}
	delete(m.subscriptions, subscriber)
	return nil
}

// LeaveTopic implements Store.
func (m *MemoryStore) LeaveTopic(_ context.Context, subscriber, topic string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.subscriptions[subscriber]
	if !ok || !slices.Contains(s.Topics, topic) {
		return missing("subscription to "+topic+" of", subscriber)
	}
	s.Topics = without(s.Topics, topic)
	m.subscriptions[subscriber] = s
	return nil
}

// PauseSubscription implements Store.
func (m *MemoryStore) PauseSubscription(_ context.Context, subscriber, reason string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s, ok := m.subscriptions[subscriber]; ok {
		s.Paused = reason
		m.subscriptions[subscriber] = s
	}
	return nil
}

// CountSent implements Store.
func (m *MemoryStore) CountSent(_ context.Context, subscriber string, n int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s, ok := m.subscriptions[subscriber]; ok {
		s.Sent += n
		m.subscriptions[subscriber] = s
	}
	return nil
}

func sorted[V any](of map[string]V, key func(V) string) []V {
	return slices.SortedFunc(maps.Values(of), func(a, b V) int { return cmp.Compare(key(a), key(b)) })
}

// without returns a copy of list that has no such element.
func without(list []string, element string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == element })
}

func missing(what, name string) error {
	return fmt.Errorf("gateway: %s %s: %w", what, name, fs.ErrNotExist)
}

func exists(id string) error {
	return fmt.Errorf("gateway: token %s: %w", id, fs.ErrExist)
}
