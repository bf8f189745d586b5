package server

import (
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/goswale/swale/configsvc"
	"github.com/goswale/swale/configsvc/store"
	"github.com/goswale/swale/hal"
)

// maxBody bounds what a request may send, in bytes.
const maxBody = 8 << 20

type documentLinks struct {
	Self    hal.Link `json:"self"`
	History hal.Link `json:"history"`
	Schemas hal.Link `json:"schemas"`
	Up      hal.Link `json:"up"`
	Latest  hal.Link `json:"latest-version,omitzero"`
}

// document is the resource of a key.
type document struct {
	Links documentLinks `json:"_links"`
	*store.Document
}

func (h *Handler) document(d *store.Document) document {
	return document{documentLinks{
		Self: hal.To(h.keyHref(d.Key)), History: hal.To(h.href("/changes?prefix=" + url.QueryEscape(d.Key))),
		Schemas: hal.To(h.href("/schemas/" + d.Key)), Up: hal.To(h.href("/keys")),
	}, d}
}

// number reads a query parameter; without it, it is 0.
func (c *call) number(name string) (int64, error) {
	text := c.q.Get(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(strings.TrimPrefix(text, "v"), 10, 64)
	if err != nil || n < 0 {
		p := hal.NewProblem(http.StatusBadRequest, "A query parameter isn't a number from 0 on.")
		p.Errors = []hal.FieldError{{Parameter: name, Detail: "is " + strconv.Quote(text)}}
		return 0, p
	}
	return n, nil
}

func (c *call) flag(name string) bool {
	on, err := strconv.ParseBool(c.q.Get(name))
	return err == nil && on
}

type keyItem struct {
	Links   selfLinks `json:"_links"`
	Key     string    `json:"key"`
	Version int64     `json:"version"`
	Author  string    `json:"author"`
	Message string    `json:"message,omitempty"`
	Time    time.Time `json:"time"`
}

type selfLinks struct {
	Self hal.Link `json:"self"`
}

func (h *Handler) listKeys(c *call) error {
	limit, err := c.number("limit")
	if err != nil {
		return err
	}
	at, err := c.number("at")
	if err != nil {
		return err
	}
	q := c.q
	l := store.Listing{Prefix: q.Get("prefix"), After: q.Get("after"), Limit: int(limit), At: at}
	if l.Limit == 0 {
		l.Limit = 100
	}
	documents, revision, err := h.store.List(c.ctx(), l)
	if err != nil {
		return err
	}
	out := struct {
		Links struct {
			Self hal.Link `json:"self"`
			Next hal.Link `json:"next,omitzero"`
		} `json:"_links"`
		Keys []keyItem `json:"keys"`
	}{Keys: []keyItem{}}
	out.Links.Self = hal.To(h.href(c.r.URL.RequestURI()))
	if n := len(documents); n > 0 && n >= min(l.Limit, 1000) {
		q.Set("after", documents[n-1].Key)
		q.Set("at", strconv.FormatInt(revision, 10))
		out.Links.Next = hal.To(h.href("/keys?" + q.Encode()))
	}
	for _, d := range documents {
		if h.opts.Allow(c.ctx(), c.who, Read, d.Key) {
			out.Keys = append(out.Keys, keyItem{selfLinks{hal.To(h.keyHref(d.Key))}, d.Key, d.Version, d.Author, d.Message, d.Time})
		}
	}
	return hal.Write(c.w, c.r, http.StatusOK, out, &hal.WriteOptions{CacheGroups: c.groups()})
}

func (h *Handler) getKey(c *call) error {
	key := c.r.PathValue("key")
	if err := c.may(Read, key); err != nil {
		return err
	}
	at, err := c.number("version")
	if err != nil {
		return err
	}
	d, err := h.store.Get(c.ctx(), key, at)
	if err != nil {
		return err
	}
	out := h.document(d)
	if at > 0 {
		out.Links.Latest = out.Links.Self
		out.Links.Self = hal.To(h.href(c.r.URL.RequestURI()))
	}
	return hal.Write(c.w, c.r, http.StatusOK, out, &hal.WriteOptions{ETag: tag(d.Version), LastModified: d.Time, CacheGroups: c.groups(key)})
}

func (h *Handler) getSchemas(c *call) error {
	key := c.r.PathValue("key")
	if err := c.may(Read, key); err != nil {
		return err
	}
	found, err := h.store.Schemas(c.ctx(), key)
	if err != nil {
		return err
	}
	return hal.Write(c.w, c.r, http.StatusOK, struct {
		Links   selfLinks                  `json:"_links"`
		Schemas map[string]configsvc.Value `json:"schemas"`
	}{selfLinks{hal.To(h.href("/schemas/" + key))}, found}, nil)
}

// current reads a key for a write, and checks the write's conditions.
func (c *call) current(key string) (*store.Document, error) {
	if err := c.may(Write, key); err != nil {
		return nil, err
	}
	if err := configsvc.CheckKey(key); err != nil {
		return nil, err
	}
	d, err := c.h.store.Get(c.ctx(), key, 0)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	conditions := hal.Conditions{Require: true}
	if d != nil {
		conditions.ETag, conditions.LastModified = tag(d.Version), d.Time
	}
	return d, hal.Check(c.r, conditions)
}

func (c *call) body() ([]byte, error) {
	text, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, maxBody))
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return nil, hal.NewProblem(http.StatusRequestEntityTooLarge, "The body has more than "+strconv.Itoa(maxBody)+" bytes.")
	}
	if err != nil {
		return nil, &hal.Problem{Status: http.StatusBadRequest, Detail: "The body could not be read.", Err: err}
	}
	return text, nil
}

func (h *Handler) putKey(c *call) error {
	key := c.r.PathValue("key")
	d, err := c.current(key)
	if err != nil {
		return err
	}
	text, err := c.body()
	if err != nil {
		return err
	}
	value, err := configsvc.Parse(text)
	if err != nil {
		return err
	}
	return c.writeKey(key, d, value)
}

func (h *Handler) patchKey(c *call) error {
	key := c.r.PathValue("key")
	d, err := c.current(key)
	if err != nil {
		return err
	}
	if d == nil {
		return hal.NewProblem(http.StatusNotFound, "There is no "+key+" to patch.")
	}
	text, err := c.body()
	if err != nil {
		return err
	}
	// Parsed first, because it is the stricter one.
	if _, err := configsvc.Parse(text); err != nil {
		return err
	}
	patched, err := hal.MergePatch(d.Value.JSON(), text)
	if err != nil {
		return &hal.Problem{Status: http.StatusBadRequest, Detail: "The patch can't be applied.", Err: err}
	}
	value, err := configsvc.Parse(patched)
	if err != nil {
		return err
	}
	return c.writeKey(key, d, value)
}

func (h *Handler) deleteKey(c *call) error {
	key := c.r.PathValue("key")
	d, err := c.current(key)
	if err != nil {
		return err
	}
	if d == nil {
		return hal.NewProblem(http.StatusNotFound, "There is no "+key+" to delete.")
	}
	return c.writeKey(key, d, configsvc.Value{})
}

// writeKey writes one key that has just been read, or says what that would do.
func (c *call) writeKey(key string, current *store.Document, value configsvc.Value) error {
	edit := store.Edit{Key: key, Value: value, Expect: store.Absent}
	if current != nil {
		edit.Expect = current.Version
	}
	w := store.Write{Author: c.who, Message: c.q.Get("message"), Edits: []store.Edit{edit}, Consumers: c.h.consumers(), Force: c.flag("force")}
	if c.flag("dry-run") {
		preview, err := c.h.store.Preview(c.ctx(), w)
		if err != nil {
			return err
		}
		return hal.Write(c.w, c.r, http.StatusOK, preview, nil)
	}
	commit, err := c.write(w)
	if err != nil {
		return err
	}
	if value.IsZero() {
		c.w.WriteHeader(http.StatusNoContent)
		return nil
	}
	status := http.StatusOK
	if current == nil {
		status = http.StatusCreated
		c.w.Header().Set("Location", c.h.keyHref(key))
	}
	d, err := c.h.store.Get(c.ctx(), key, commit.Revision)
	if err != nil {
		return err
	}
	return hal.Write(c.w, c.r, status, c.h.document(d), &hal.WriteOptions{ETag: tag(d.Version), LastModified: d.Time})
}

// write makes a write, records it and announces it.
func (c *call) write(w store.Write) (*store.Commit, error) {
	keys := make([]string, len(w.Edits))
	for i, e := range w.Edits {
		keys[i] = e.Key
	}
	commit, err := c.h.store.Write(c.ctx(), w)
	if err != nil {
		c.audit(slog.LevelInfo, "refused", Write, 0, keys...)
		return nil, err
	}
	c.audit(slog.LevelInfo, "done", Write, commit.Revision, keys...)
	c.h.announce(c.ctx(), commit)
	return commit, nil
}
