package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"

	"github.com/goswale/swale/configsvc"
	"github.com/goswale/swale/configsvc/store"
	"github.com/goswale/swale/hal"
)

// RevisionHeader is the field that says at which revision a configuration was
// compiled. It isn't in the document, which would then change with every commit.
const RevisionHeader = "Swale-Config-Revision"

// strictly decodes JSON and refuses unknown members.
func strictly(text []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	return d.Decode(v)
}

type compiled struct {
	Links struct {
		Self    hal.Link `json:"self"`
		Explain hal.Link `json:"explain"`
		Layer   hal.Many `json:"layer"`
	} `json:"_links"`
	Hash     string               `json:"hash"`
	Layers   []configsvc.LayerRef `json:"layers"`
	Value    configsvc.Value      `json:"value"`
	Secrets  []string             `json:"secrets,omitempty"`
	Rollouts []string             `json:"rollouts,omitempty"`
}

// options reads what is to be compiled from the query.
func (c *call) options() ([]string, *store.CompileOptions, error) {
	q := c.q
	keys := q["key"]
	if err := c.may(Read, keys...); err != nil {
		return nil, nil, err
	}
	at, err := c.number("at")
	if err != nil {
		return nil, nil, err
	}
	opts := &store.CompileOptions{At: at, Reveal: c.flag("reveal")}
	if q.Has("instance") {
		i := store.Instance{Service: q.Get("service"), ID: q.Get("instance")}
		for name, values := range q {
			if attribute, ok := strings.CutPrefix(name, "attr."); ok {
				if i.Attributes == nil {
					i.Attributes = map[string]string{}
				}
				i.Attributes[attribute] = values[0]
			}
		}
		opts.Instance = &i
	}
	if opts.Reveal {
		if err := c.may(Reveal, keys...); err != nil {
			return nil, nil, err
		}
	}
	return keys, opts, nil
}

func (h *Handler) getCompile(c *call) error {
	keys, opts, err := c.options()
	if err != nil {
		return err
	}
	got, err := h.store.Compile(c.ctx(), keys, opts)
	if err != nil {
		return err
	}
	c.w.Header().Set(RevisionHeader, strconv.FormatInt(got.Revision, 10))
	write := &hal.WriteOptions{}
	if opts.Reveal {
		if len(got.Secrets) > 0 {
			c.audit(slog.LevelInfo, "shown", Reveal, got.Revision, keys...)
		}
		c.w.Header().Set("Cache-Control", "private, no-store")
	} else {
		write.CacheGroups = c.groups(keys...)
		if write.CacheGroups != nil && opts.Instance != nil {
			// A rollout may begin with any notice of the topic.
			write.CacheGroups = append(write.CacheGroups, h.opts.Topic)
		}
	}
	return hal.Write(c.w, c.r, http.StatusOK, h.compiled(c, keys, got), write)
}

func (h *Handler) compiled(c *call, keys []string, got *store.Compilation) compiled {
	out := compiled{Hash: got.Hash, Layers: got.Layers, Value: got.Value, Secrets: got.Secrets, Rollouts: got.Rollouts}
	out.Links.Self = hal.To(h.href(c.r.URL.RequestURI()))
	out.Links.Explain = hal.To(h.href("/explain?" + c.r.URL.RawQuery))
	for _, key := range keys {
		out.Links.Layer = append(out.Links.Layer, hal.To(h.keyHref(key)))
	}
	return out
}

func (h *Handler) getExplain(c *call) error {
	keys, opts, err := c.options()
	if err != nil {
		return err
	}
	opts.Reveal = false
	got, err := h.store.Compile(c.ctx(), keys, opts)
	if err != nil {
		return err
	}
	c.w.Header().Set(RevisionHeader, strconv.FormatInt(got.Revision, 10))
	return hal.Write(c.w, c.r, http.StatusOK, struct {
		Links    selfLinks            `json:"_links"`
		Hash     string               `json:"hash"`
		Layers   []configsvc.LayerRef `json:"layers"`
		Rollouts []string             `json:"rollouts,omitempty"`
		Settings []configsvc.Setting  `json:"settings"`
	}{selfLinks{hal.To(h.href(c.r.URL.RequestURI()))}, got.Hash, got.Layers, got.Rollouts, got.Explain()}, nil)
}

// maxLists bounds how many lists of keys one request may have compiled.
const maxLists = 100

// postCompile compiles many lists at once.
func (h *Handler) postCompile(c *call) error {
	var body struct {
		Lists []struct {
			Keys []string `json:"keys"`
		} `json:"lists"`
	}
	if err := c.decode(&body); err != nil {
		return err
	}
	if len(body.Lists) > maxLists {
		return hal.NewProblem(http.StatusUnprocessableEntity, "More than "+strconv.Itoa(maxLists)+" lists in one request.")
	}
	type result struct {
		Keys    []string             `json:"keys"`
		Hash    string               `json:"hash,omitempty"`
		Layers  []configsvc.LayerRef `json:"layers,omitempty"`
		Value   configsvc.Value      `json:"value,omitzero"`
		Problem string               `json:"problem,omitempty"`
	}
	results := make([]result, len(body.Lists))
	for i, list := range body.Lists {
		if err := c.may(Read, list.Keys...); err != nil {
			return err
		}
		results[i].Keys = list.Keys
		got, err := h.store.Compile(c.ctx(), list.Keys, nil)
		switch {
		case errors.Is(err, configsvc.ErrConflict), errors.Is(err, configsvc.ErrKey):
			results[i].Problem = err.Error()
		case err != nil:
			return err
		default:
			results[i].Hash, results[i].Layers, results[i].Value = got.Hash, got.Layers, got.Value
		}
	}
	return hal.Write(c.w, c.r, http.StatusOK, map[string]any{"results": results}, nil)
}
