package server

import (
	"context"
	"log/slog"
	"net/http"
	"strings"

	"github.com/goswale/swale/configsvc"
	"github.com/goswale/swale/hal"
)

// Action is what somebody wants to do with a key.
type Action string

// The actions.
const (
	// Read is to see a document, its history, and what is compiled from it, with
	// secrets redacted.
	Read Action = "read"
	// Write is to change it, roll it back, or roll it out. A schema is changed by
	// who may write its own key, _schemas/….
	Write Action = "write"
	// Reveal is to see the secrets in what is compiled from it.
	Reveal Action = "reveal"
	// Report is to tell what an instance runs; the key is the service's name.
	Report Action = "report"
)

// Grant allows one action on keys.
type Grant struct {
	// Who may; "*" is everybody.
	Who string
	// Action is what they may.
	Action Action
	// Prefix is a key; it and everything below it are meant, by whole segments.
	// Default: all keys, without those that are the service's own.
	Prefix string
}

// Grants is a list of what is allowed. What it doesn't allow isn't.
type Grants []Grant

// Allow is for [Options].Allow.
func (g Grants) Allow(_ context.Context, who string, action Action, key string) bool {
	for _, grant := range g {
		if grant.Who != "*" && grant.Who != who || grant.Action != action {
			continue
		}
		if grant.Prefix == "" && (action == Read || !configsvc.Reserved(key)) || grant.Prefix != "" && configsvc.Under(grant.Prefix, key) {
			return true
		}
	}
	return false
}

// may returns a problem unless the caller may do this with all of the keys.
func (c *call) may(action Action, keys ...string) error {
	for _, key := range keys {
		if !c.h.opts.Allow(c.ctx(), c.who, action, key) {
			c.audit(slog.LevelWarn, "denied", action, 0, key)
			return hal.NewProblem(http.StatusForbidden, "You may not "+string(action)+" "+key+".")
		}
	}
	return nil
}

// audit records what was done or denied.
func (c *call) audit(level slog.Level, outcome string, action Action, revision int64, keys ...string) {
	attrs := []slog.Attr{
		slog.String("who", c.who), slog.String("action", string(action)), slog.String("outcome", outcome), slog.String("keys", strings.Join(keys, " ")),
	}
	if revision > 0 {
		attrs = append(attrs, slog.Int64("revision", revision))
	}
	c.h.opts.Audit.LogAttrs(c.ctx(), level, "config audit", attrs...)
}
