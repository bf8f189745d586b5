package configsvc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/goswale/swale/hal"
)

// running is what this instance says about itself to the service.
type running struct {
	Attributes map[string]string `json:"attributes,omitempty"`
	Keys       []string          `json:"keys"`
	Hash       string            `json:"hash"`
	Layers     []LayerRef        `json:"layers,omitempty"`
	FromCopy   bool              `json:"fromCopy,omitempty"`
	Rejected   string            `json:"rejected,omitempty"`
	Error      string            `json:"error,omitempty"`
	Overrides  []string          `json:"overrides,omitempty"`
	Gone       bool              `json:"gone,omitempty"`
}

// tell has the service told how the feed fares, without waiting for it.
func (f *feed) tell() {
	f.mu.Lock()
	f.due = true
	f.mu.Unlock()
	select {
	case f.client.reports <- struct{}{}:
	default: // one is under way, and will see it
	}
}

func (f *feed) said() running {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.due = false
	r := running{
		Attributes: f.client.opts.Attributes, Keys: f.keys, Hash: f.status.Hash, Layers: f.layers,
		FromCopy: f.status.FromCopy, Rejected: f.status.Rejected, Overrides: f.overrides,
	}
	if f.status.Err != nil {
		r.Error = f.status.Err.Error()
		if len(r.Error) > 1000 {
			r.Error = r.Error[:1000]
		}
	}
	return r
}

func (f *feed) goodbye() running { return running{Keys: f.keys, Gone: true} }

// report sends what is due until the client is closed. What can't be sent is
// sent with the next poll.
func (c *Client) report() {
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-c.reports:
		}
		c.mu.Lock()
		var due []*feed
		for f := range c.feeds {
			f.mu.Lock()
			if f.due {
				due = append(due, f)
			}
			f.mu.Unlock()
		}
		c.mu.Unlock()
		for _, f := range due {
			if err := c.send(c.ctx, f.said()); err != nil && c.ctx.Err() == nil {
				c.opts.Logger.Debug("config: the service was not told what runs here", "error", err)
			}
		}
	}
}

func (c *Client) send(ctx context.Context, r running) error {
	text, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("configsvc: report: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	path := "/instances/" + url.PathEscape(c.opts.Service) + "/" + url.PathEscape(c.opts.Instance)
	_, _, err = c.do(ctx, http.MethodPut, path, bytes.NewReader(text), http.Header{"Content-Type": {hal.JSONType}})
	return err
}

// permanent reports whether asking again gives the same answer.
func permanent(err error) bool {
	var p *hal.Problem
	return errors.As(err, &p) && p.Status >= 400 && p.Status < 500 && p.Status != http.StatusRequestTimeout && p.Status != http.StatusTooManyRequests
}
