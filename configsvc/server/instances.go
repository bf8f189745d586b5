package server

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/goswale/swale/configsvc"
	"github.com/goswale/swale/configsvc/store"
	"github.com/goswale/swale/hal"
)

// Bounds on what is remembered of instances.
const (
	maxInstances = 20000
	maxOverrides = 100
	maxErrorText = 1000
)

// Running is what an instance says about itself: the body of
// PUT /instances/{service}/{id}.
type Running struct {
	Service    string            `json:"service,omitempty"`
	ID         string            `json:"id,omitempty"`
	Attributes map[string]string `json:"attributes,omitempty"`
	// Keys are what it compiles.
	Keys []string `json:"keys"`
	// Hash is what it runs, Layers the versions that it was compiled from.
	Hash   string               `json:"hash"`
	Layers []configsvc.LayerRef `json:"layers,omitempty"`
	// FromCopy says that it has it from its own copy, because it could not reach
	// the service when it started.
	FromCopy bool `json:"fromCopy,omitempty"`
	// Rejected is the hash of what it should run and can't use, Error says why.
	Rejected string `json:"rejected,omitempty"`
	Error    string `json:"error,omitempty"`
	// Overrides are the JSON Pointers that its environment variables override.
	Overrides []string `json:"overrides,omitempty"`
	// Seen is when it last said so. The service fills it in.
	Seen time.Time `json:"seen,omitzero"`
	// Gone asks to be forgotten.
	Gone bool `json:"gone,omitempty"`
}

func (h *Handler) putInstance(c *call) error {
	var body Running
	if err := c.decode(&body); err != nil {
		return err
	}
	body.Service, body.ID = c.r.PathValue("service"), c.r.PathValue("id")
	i := store.Instance{Service: body.Service, ID: body.ID, Attributes: body.Attributes}
	if err := i.Check(); err != nil {
		return err
	}
	if err := configsvc.CheckKeys(body.Keys); err != nil {
		return err
	}
	if err := c.may(Report, body.Service); err != nil {
		return err
	}
	if err := c.may(Read, body.Keys...); err != nil {
		return err
	}
	if len(body.Overrides) > maxOverrides || len(body.Error) > maxErrorText || len(body.Attributes) > 20 || len(body.Hash) > 64 || len(body.Rejected) > 64 {
		return hal.NewProblem(http.StatusUnprocessableEntity, "The report is longer than reports are.")
	}
	news, err := h.remember(&body)
	if err != nil {
		return err
	}
	if news && body.Rejected != "" {
		h.opts.Logger.WarnContext(c.ctx(), "config: an instance rejected its configuration", "service", body.Service, "instance", body.ID, "hash", body.Rejected, "error", body.Error)
		halted, err := h.store.Rejected(c.ctx(), body.Keys, store.Reject{Instance: i, Hash: body.Rejected, Error: body.Error})
		if err != nil {
			return err
		}
		for _, r := range halted {
			if r.State == store.Halted {
				h.opts.Logger.WarnContext(c.ctx(), "config: a rollout was halted", "rollout", r.ID, "reason", r.Reason)
				h.announceRollout(c.ctx(), r)
			}
		}
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// remember keeps a report, and says whether it is the first that rejects this.
func (h *Handler) remember(r *Running) (news bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	id := r.Service + "/" + r.ID + " " + strings.Join(r.Keys, " ")
	if r.Gone {
		delete(h.instances, id)
		return false, nil
	}
	last := h.instances[id]
	if last == nil {
		h.forget()
		if len(h.instances) >= maxInstances {
			return false, hal.NewProblem(http.StatusServiceUnavailable, fmt.Sprintf("More than %d instances report.", maxInstances))
		}
	}
	r.Seen = h.opts.Clock().UTC()
	h.instances[id] = r
	return last == nil || last.Rejected != r.Rejected, nil
}

// forget drops those that have not been heard of for too long.
func (h *Handler) forget() {
	limit := h.opts.Clock().Add(-h.opts.InstanceTTL)
	for id, r := range h.instances {
		if r.Seen.Before(limit) {
			delete(h.instances, id)
		}
	}
}

// running returns who is alive, in order.
func (h *Handler) running() []*Running {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.forget()
	all := make([]*Running, 0, len(h.instances))
	for _, r := range h.instances {
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b *Running) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.ID, b.ID), slices.Compare(a.Keys, b.Keys))
	})
	return all
}

// consumers are those whose configuration a write may change: a service and list
// of keys once, however many instances it has.
func (h *Handler) consumers() []store.Consumer {
	var consumers []store.Consumer
	seen := map[string]bool{}
	for _, r := range h.running() {
		id := r.Service + " " + strings.Join(r.Keys, " ")
		if !seen[id] {
			seen[id] = true
			consumers = append(consumers, store.Consumer{Name: r.Service, Keys: r.Keys})
		}
	}
	return consumers
}

func (h *Handler) listInstances(c *call) error {
	key := c.q.Get("key")
	out := struct {
		Links     selfLinks  `json:"_links"`
		Instances []*Running `json:"instances"`
	}{selfLinks{hal.To(h.href(c.r.URL.RequestURI()))}, []*Running{}}
	for _, r := range h.running() {
		unreadable := slices.ContainsFunc(r.Keys, func(key string) bool { return !h.opts.Allow(c.ctx(), c.who, Read, key) })
		if !unreadable && (key == "" || slices.Contains(r.Keys, key)) {
			out.Instances = append(out.Instances, r)
		}
	}
	return hal.Write(c.w, c.r, http.StatusOK, out, nil)
}
