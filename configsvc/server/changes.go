package server

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/goswale/swale/configsvc"
	"github.com/goswale/swale/configsvc/store"
	"github.com/goswale/swale/hal"
)

// Edit is one key of a change, as requests have it.
type Edit struct {
	Key string `json:"key"`
	// Value is what it becomes.
	Value configsvc.Value `json:"value,omitzero"`
	// Delete deletes it instead.
	Delete bool `json:"delete,omitempty"`
	// Version is the one that the key must have. Without it, and without
	// Overwrite, the key must be absent.
	Version int64 `json:"version,omitempty"`
	// Overwrite expects nothing.
	Overwrite bool `json:"overwrite,omitempty"`
}

// Change is the body of POST /changes.
type Change struct {
	Message string `json:"message,omitempty"`
	Edits   []Edit `json:"edits"`
	// DryRun checks and describes, and doesn't write.
	DryRun bool `json:"dryRun,omitempty"`
	// Force lets a change leave services with layers that conflict.
	Force bool `json:"force,omitempty"`
}

// Rollback is the body of POST /rollbacks.
type Rollback struct {
	Message string `json:"message,omitempty"`
	// Keys are rolled back, or else those at and below Prefix.
	Keys   []string `json:"keys,omitempty"`
	Prefix string   `json:"prefix,omitempty"`
	// To is the revision to go back to, or else Moment says when that was.
	To     int64     `json:"to,omitempty"`
	Moment time.Time `json:"moment,omitzero"`
	DryRun bool      `json:"dryRun,omitempty"`
	Force  bool      `json:"force,omitempty"`
}

// Rollout is the body of POST /rollouts.
type Rollout struct {
	Change
	Percent   float64 `json:"percent"`
	HaltAfter int     `json:"haltAfter,omitempty"`
	Salt      string  `json:"salt,omitempty"`
}

// decode reads a JSON body into v; unknown members are refused, because a member
// that is misspelt is a change that isn't meant.
func (c *call) decode(v any) error {
	text, err := c.body()
	if err != nil {
		return err
	}
	if _, err := configsvc.Parse(text); err != nil {
		return err
	}
	if err := strictly(text, v); err != nil {
		return &hal.Problem{Status: http.StatusUnprocessableEntity, Detail: "The body isn't what is expected here: " + err.Error(), Err: err}
	}
	return nil
}

// plan turns a change into a write, if the caller may.
func (c *call) plan(change Change) (store.Write, error) {
	w := store.Write{Author: c.who, Message: change.Message, Consumers: c.h.consumers(), Force: change.Force}
	for _, e := range change.Edits {
		if err := c.may(Write, e.Key); err != nil {
			return w, err
		}
		if e.Delete == !e.Value.IsZero() {
			return w, hal.NewProblem(http.StatusUnprocessableEntity, fmt.Sprintf("The edit of %q needs a value or delete, and not both.", e.Key))
		}
		expect := e.Version
		if e.Overwrite {
			expect = store.Any
		}
		w.Edits = append(w.Edits, store.Edit{Key: e.Key, Value: e.Value, Expect: expect})
	}
	return w, nil
}

func (h *Handler) postChange(c *call) error {
	var change Change
	if err := c.decode(&change); err != nil {
		return err
	}
	w, err := c.plan(change)
	if err != nil {
		return err
	}
	if change.DryRun {
		preview, err := h.store.Preview(c.ctx(), w)
		if err != nil {
			return err
		}
		return hal.Write(c.w, c.r, http.StatusOK, preview, nil)
	}
	commit, err := c.write(w)
	if err != nil {
		return err
	}
	c.w.Header().Set("Location", h.href("/changes/"+strconv.FormatInt(commit.Revision, 10)))
	return hal.Write(c.w, c.r, http.StatusCreated, h.commit(commit), nil)
}

type commit struct {
	Links selfLinks `json:"_links"`
	*store.Commit
}

func (h *Handler) commit(c *store.Commit) commit {
	return commit{selfLinks{hal.To(h.href("/changes/" + strconv.FormatInt(c.Revision, 10)))}, c}
}

// readable leaves out of a commit what the caller may not read.
func (c *call) readable(commit *store.Commit) {
	commit.Changes = slices.DeleteFunc(commit.Changes, func(change store.DocumentChange) bool {
		return !c.h.opts.Allow(c.ctx(), c.who, Read, change.Key)
	})
}

func (h *Handler) listChanges(c *call) error {
	before, err := c.number("before")
	if err != nil {
		return err
	}
	limit, err := c.number("limit")
	if err != nil {
		return err
	}
	q := store.Query{Prefix: c.q.Get("prefix"), Before: before, Limit: int(limit)}
	if q.Limit == 0 {
		q.Limit = 20
	}
	history, err := h.store.History(c.ctx(), q)
	if err != nil {
		return err
	}
	out := struct {
		Links struct {
			Self hal.Link `json:"self"`
			Next hal.Link `json:"next,omitzero"`
		} `json:"_links"`
		Changes []commit `json:"changes"`
	}{Changes: []commit{}}
	out.Links.Self = hal.To(h.href(c.r.URL.RequestURI()))
	if n := len(history); n > 0 && n >= min(q.Limit, 200) {
		next := url.Values{"before": {strconv.FormatInt(history[n-1].Revision, 10)}, "limit": {strconv.Itoa(q.Limit)}}
		if q.Prefix != "" {
			next.Set("prefix", q.Prefix)
		}
		out.Links.Next = hal.To(h.href("/changes?" + next.Encode()))
	}
	for _, commit := range history {
		if c.readable(commit); len(commit.Changes) > 0 {
			out.Changes = append(out.Changes, h.commit(commit))
		}
	}
	return hal.Write(c.w, c.r, http.StatusOK, out, &hal.WriteOptions{CacheGroups: c.groups()})
}

func (h *Handler) getChange(c *call) error {
	revision, err := strconv.ParseInt(c.r.PathValue("revision"), 10, 64)
	if err != nil {
		return hal.NewProblem(http.StatusNotFound, "A change has a number.")
	}
	commit, err := h.store.Revision(c.ctx(), revision)
	if err != nil {
		return err
	}
	if c.readable(commit); len(commit.Changes) == 0 {
		return hal.NewProblem(http.StatusForbidden, "You may not read what it changed.")
	}
	return hal.Write(c.w, c.r, http.StatusOK, h.commit(commit), nil)
}

func (h *Handler) getDiff(c *call) error {
	key := c.q.Get("key")
	if err := c.may(Read, key); err != nil {
		return err
	}
	from, err := c.number("from")
	if err != nil {
		return err
	}
	to, err := c.number("to")
	if err != nil {
		return err
	}
	diff, err := h.store.Diff(c.ctx(), key, from, to)
	if err != nil {
		return err
	}
	return hal.Write(c.w, c.r, http.StatusOK, struct {
		Links selfLinks          `json:"_links"`
		Key   string             `json:"key"`
		Diff  []configsvc.Change `json:"diff"`
	}{selfLinks{hal.To(h.href(c.r.URL.RequestURI()))}, key, diff}, nil)
}

func (h *Handler) postRollback(c *call) error {
	var body Rollback
	if err := c.decode(&body); err != nil {
		return err
	}
	r := store.Rollback{
		Author: c.who, Message: body.Message, Keys: body.Keys, Prefix: body.Prefix, To: body.To, Moment: body.Moment,
		Consumers: h.consumers(), Force: body.Force, Preview: true,
	}
	// What it touches is known only when it has been looked at.
	preview, err := h.store.RollBack(c.ctx(), r)
	if err != nil {
		return err
	}
	var keys []string
	if preview.Commit != nil {
		for _, change := range preview.Commit.Changes {
			keys = append(keys, change.Key)
		}
	}
	if err := c.may(Write, keys...); err != nil {
		return err
	}
	if body.DryRun || preview.Commit == nil {
		return hal.Write(c.w, c.r, http.StatusOK, preview, nil)
	}
	r.Preview, r.Keys = false, keys
	done, err := h.store.RollBack(c.ctx(), r)
	if err != nil {
		c.audit(slog.LevelInfo, "refused", Write, 0, keys...)
		return err
	}
	if done.Commit == nil {
		return hal.Write(c.w, c.r, http.StatusOK, done, nil)
	}
	c.audit(slog.LevelInfo, "done", Write, done.Commit.Revision, keys...)
	h.announce(c.ctx(), done.Commit)
	return hal.Write(c.w, c.r, http.StatusCreated, done, nil)
}

type rollout struct {
	Links struct {
		Self     hal.Link `json:"self"`
		Percent  hal.Link `json:"percent,omitzero"`
		Halt     hal.Link `json:"halt,omitzero"`
		Complete hal.Link `json:"complete,omitzero"`
	} `json:"_links"`
	*store.Rollout
}

func (h *Handler) rollout(r *store.Rollout) rollout {
	out := rollout{Rollout: r}
	self := h.href("/rollouts/" + r.ID)
	out.Links.Self = hal.To(self)
	if r.State == store.Running {
		out.Links.Percent, out.Links.Halt, out.Links.Complete = hal.To(self+"/percent"), hal.To(self+"/halt"), hal.To(self+"/complete")
	}
	return out
}

func keysOf(r *store.Rollout) []string {
	keys := make([]string, len(r.Edits))
	for i, e := range r.Edits {
		keys[i] = e.Key
	}
	return keys
}

func (h *Handler) listRollouts(c *call) error {
	all, err := h.store.Rollouts(c.ctx())
	if err != nil {
		return err
	}
	out := struct {
		Links    selfLinks `json:"_links"`
		Rollouts []rollout `json:"rollouts"`
	}{selfLinks{hal.To(h.href("/rollouts"))}, []rollout{}}
	for _, r := range all {
		if !slices.ContainsFunc(keysOf(r), func(key string) bool { return !h.opts.Allow(c.ctx(), c.who, Read, key) }) {
			out.Rollouts = append(out.Rollouts, h.rollout(r))
		}
	}
	return hal.Write(c.w, c.r, http.StatusOK, out, nil)
}

func (h *Handler) getRollout(c *call) error {
	r, err := h.store.Rollout(c.ctx(), c.r.PathValue("id"))
	if err != nil {
		return err
	}
	if err := c.may(Read, keysOf(r)...); err != nil {
		return err
	}
	return hal.Write(c.w, c.r, http.StatusOK, h.rollout(r), nil)
}

func (h *Handler) postRollout(c *call) error {
	var body Rollout
	if err := c.decode(&body); err != nil {
		return err
	}
	w, err := c.plan(body.Change)
	if err != nil {
		return err
	}
	if body.DryRun {
		preview, err := h.store.Preview(c.ctx(), w)
		if err != nil {
			return err
		}
		return hal.Write(c.w, c.r, http.StatusOK, preview, nil)
	}
	r, err := h.store.StartRollout(c.ctx(), store.Start{Write: w, Percent: body.Percent, HaltAfter: body.HaltAfter, Salt: body.Salt})
	if err != nil {
		return err
	}
	c.audit(slog.LevelInfo, "rollout started", Write, 0, keysOf(r)...)
	h.announceRollout(c.ctx(), r)
	c.w.Header().Set("Location", h.href("/rollouts/"+r.ID))
	return hal.Write(c.w, c.r, http.StatusCreated, h.rollout(r), nil)
}

func (h *Handler) changeRollout(c *call) error {
	id := c.r.PathValue("id")
	r, err := h.store.Rollout(c.ctx(), id)
	if err != nil {
		return err
	}
	if err := c.may(Write, keysOf(r)...); err != nil {
		return err
	}
	var body struct {
		Percent float64 `json:"percent,omitempty"`
		Reason  string  `json:"reason,omitempty"`
	}
	if err := c.decode(&body); err != nil {
		return err
	}
	switch verb := c.r.PathValue("verb"); verb {
	case "percent":
		r, err = h.store.SetPercent(c.ctx(), id, c.who, body.Percent)
	case "halt":
		r, err = h.store.Halt(c.ctx(), id, c.who, body.Reason)
	case "complete":
		r, err = h.store.Complete(c.ctx(), id, c.who)
	default:
		return hal.NewProblem(http.StatusNotFound, "A rollout knows percent, halt and complete.")
	}
	if err != nil {
		return err
	}
	c.audit(slog.LevelInfo, "rollout "+c.r.PathValue("verb"), Write, 0, keysOf(r)...)
	h.announceRollout(c.ctx(), r)
	return hal.Write(c.w, c.r, http.StatusOK, h.rollout(r), nil)
}
