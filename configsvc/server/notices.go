package server

import (
	"context"
	"strconv"
	"time"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/configsvc/driver"
	"github.com/goswale/swale/configsvc/store"
	"github.com/goswale/swale/resn"
)

// source names the service in CloudEvents.
const source = "/config"

// Notices returns the notices of a commit, one for each key that it changed. It
// is for an outbox in the commit's transaction:
//
//	sqlconfig.Options{InTx: func(ctx context.Context, tx *sql.Tx, c driver.Commit) error {
//		for _, n := range server.Notices("https://config.example", server.DefaultTopic, c) {
//			if err := box.Append(ctx, tx, n.Topic, n.CloudEvent("/config")); err != nil {
//				return err
//			}
//		}
//		return nil
//	}}
//
// A commit that starts or changes a rollout has a notice for _rollouts/…; clients
// take every notice of a rollout to be about them.
func Notices(baseURL, topic string, c driver.Commit) []resn.Event {
	events := make([]resn.Event, len(c.Edits))
	for i, e := range c.Edits {
		kind := resn.Update
		if e.Value == nil {
			kind = resn.Delete
		}
		events[i] = notice(baseURL, topic, kind, e.Key, c.Revision, c.Time)
	}
	return events
}

func notice(baseURL, topic, kind, key string, revision int64, at time.Time) resn.Event {
	e := resn.Event{Topic: topic, Type: kind, Href: baseURL + "/keys/" + key, Time: at}
	if kind != resn.Delete {
		e.ETag = `"` + tag(revision) + `"`
	}
	return e
}

// tag is the entity tag of a version, without its quotes.
func tag(version int64) string { return "v" + strconv.FormatInt(version, 10) }

// announce publishes the notices of a commit. The change stands whatever becomes
// of them: clients poll.
func (h *Handler) announce(ctx context.Context, c *store.Commit) {
	if h.opts.Bus == nil || h.opts.Announced || c == nil {
		return
	}
	events := make([]bus.Event, len(c.Changes))
	for i, change := range c.Changes {
		kind := resn.Update
		switch {
		case change.Deleted:
			kind = resn.Delete
		case change.Created:
			kind = resn.Create
		}
		e := notice(h.base.String(), h.opts.Topic, kind, change.Key, c.Revision, c.Time)
		events[i] = e.CloudEvent(source)
	}
	// The caller may have gone; the change hasn't.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := h.opts.Bus.Publish(ctx, h.opts.Topic, events...); err != nil {
		h.opts.Logger.WarnContext(ctx, "config: a change was not announced; clients find it when they poll", "revision", c.Revision, "error", err)
	}
}

// announceRollout tells those whose configuration a rollout is about.
func (h *Handler) announceRollout(ctx context.Context, r *store.Rollout) {
	c := &store.Commit{Revision: 0, Time: h.opts.Clock()}
	for _, e := range r.Edits {
		c.Changes = append(c.Changes, store.DocumentChange{Key: e.Key})
	}
	h.announce(ctx, c)
}

// groups names the topic and the groups of a response that is made of these
// keys, or of whatever keys there are, when an outbox announces changes. Not
// no-cache: that would have a cache ask each time, vouched or not.
func (c *call) groups(keys ...string) []string {
	if !c.h.opts.Announced {
		return nil
	}
	c.w.Header().Set("Cache-Control", "max-age=0, "+resn.Directive(c.h.opts.Topic))
	if len(keys) == 0 {
		return []string{c.h.opts.Topic}
	}
	groups := make([]string, len(keys))
	for i, key := range keys {
		groups[i] = c.h.keyHref(key)
	}
	return groups
}
