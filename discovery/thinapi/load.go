package thinapi

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/goswale/swale/discovery/rules"
)

// Status says which rules are in use and how the last attempt to change them
// went.
type Status struct {
	// Rules is how many are in use, Digest the SHA-256 of their document.
	Rules  int
	Digest string
	// Since is when they came into use; FromDisk that they are the last good
	// ones of a process before.
	Since    time.Time
	FromDisk bool
	// Rejected is why the newest rules aren't in use; nil if they are.
	Rejected error
	// NotKept is why the rules in use aren't in the file LastGood; nil if they
	// are, or if none was asked for.
	NotKept error
}

// Status returns the status of this moment.
func (h *Handler) Status() Status { return h.state.Load().status }

// Load brings rules into use, which are a rules.Set as JSON. If they aren't
// valid, or lint has something to say, the rules in use stay, and the error
// says why. They are kept in the file LastGood; that this fails is told by
// Status and logged, and they are used all the same.
func (h *Handler) Load(data []byte) error {
	h.loading.Lock()
	defer h.loading.Unlock()
	digest := digestOf(data)
	before := h.state.Load()
	if before.engine != nil && before.status.Digest == digest && before.status.Rejected == nil {
		return nil
	}
	engine, err := accept(data)
	if err != nil {
		h.opts.Logger.Error("thinapi: rules not accepted, the good ones stay", "error", err)
		rejected := *before
		rejected.status.Rejected = err
		h.state.Store(&rejected)
		return err
	}
	status := Status{Digest: digest, Since: time.Now()}
	if h.opts.LastGood != "" {
		if status.NotKept = keep(h.opts.LastGood, data, digest); status.NotKept != nil {
			h.opts.Logger.Error("thinapi: rules are in use but not kept", "error", status.NotKept)
		}
	}
	h.use(engine, status)
	return nil
}

// compile takes rules that were accepted once: a lint that has become stricter
// since is no reason to begin without any.
func compile(data []byte) (*rules.Engine, error) {
	set, err := rules.Parse(data)
	if err != nil {
		return nil, err
	}
	return rules.Compile(set)
}

func accept(data []byte) (*rules.Engine, error) {
	set, err := rules.Parse(data)
	if err != nil {
		return nil, err
	}
	return rules.Accept(set)
}

// use swaps the rules.
func (h *Handler) use(engine *rules.Engine, status Status) {
	all := engine.Rules()
	st := &state{engine: engine, proxied: engine.ProxyHeaders(), counts: make(map[*rules.Rule]*counter, len(all)), status: status}
	ids := make(map[string]bool, len(all))
	for _, r := range all {
		st.counts[r] = h.counters.of(r.ID)
		ids[r.ID] = true
	}
	st.splits = splitsOf(all)
	st.status.Rules = len(all)
	h.state.Store(st)
	h.counters.keep(ids)
}

// kept is the file of last good rules.
type kept struct {
	Saved  time.Time `json:"saved"`
	SHA256 string    `json:"sha256"` // of Rules
	Rules  string    `json:"rules"`  // as they were loaded, to the byte
}

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// keep writes rules so that the file is the old one or the new one, whole,
// whenever the machine stops.
func keep(name string, data []byte, digest string) (err error) {
	doc, err := json.Marshal(kept{Saved: time.Now().UTC(), SHA256: digest, Rules: string(data)})
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(doc)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), name); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// restore begins with the last good rules.
func (h *Handler) restore() {
	if h.opts.LastGood == "" {
		return
	}
	data, saved, err := readKept(h.opts.LastGood)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var engine *rules.Engine
	if err == nil {
		engine, err = compile(data)
	}
	if err != nil {
		h.opts.Logger.Error("thinapi: the last good rules can't be used", "file", h.opts.LastGood, "error", err)
		h.state.Store(&state{status: Status{Rejected: err}})
		return
	}
	h.use(engine, Status{Digest: digestOf(data), Since: saved, FromDisk: true})
}

func readKept(name string) ([]byte, time.Time, error) {
	doc, err := os.ReadFile(name) //nolint:gosec // the file that the options name
	if err != nil {
		return nil, time.Time{}, err
	}
	var k kept
	if err := json.Unmarshal(doc, &k); err != nil {
		return nil, time.Time{}, fmt.Errorf("thinapi: the file %s isn't whole: %w", name, err)
	}
	if digestOf([]byte(k.Rules)) != k.SHA256 {
		return nil, time.Time{}, fmt.Errorf("thinapi: the file %s was changed: its checksum isn't that of its rules", name)
	}
	return []byte(k.Rules), k.Saved, nil
}

// WatchFile calls apply with what the file holds, at once and whenever its
// content changes, until ctx ends; it looks every so often. Errors of reading
// and of apply go to fail, which may be nil, and don't end it.
func WatchFile(ctx context.Context, name string, every time.Duration, apply func([]byte) error, fail func(error)) {
	var last string
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		data, err := os.ReadFile(name) //nolint:gosec // the file that the caller names
		if digest := digestOf(data); err == nil && digest != last {
			last = digest
			err = apply(data)
		}
		if err != nil && fail != nil {
			fail(err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
