package configsvc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"

	"github.com/goswale/swale/hal"
)

// maxResponse bounds what is read of a response.
const maxResponse = 16 << 20

// revisionHeader says at which revision a configuration was compiled.
const revisionHeader = "Swale-Config-Revision"

// fetched is a configuration as the service gives it, and as a copy keeps it.
type fetched struct {
	Hash     string     `json:"hash"`
	Layers   []LayerRef `json:"layers"`
	Value    Value      `json:"value"`
	Secrets  []string   `json:"secrets,omitempty"`
	Rollouts []string   `json:"rollouts,omitempty"`
	Revision int64      `json:"revision,omitempty"`

	etag     string
	fromCopy bool
}

// errNotModified says that there is nothing new.
var errNotModified = errors.New("not modified")

// query returns the query that compiles the keys for this instance.
func (c *Client) query(keys []string) url.Values {
	q := url.Values{"key": keys}
	if c.opts.Service != "" {
		q.Set("service", c.opts.Service)
		q.Set("instance", c.opts.Instance)
		for name, value := range c.opts.Attributes {
			q.Set("attr."+name, value)
		}
	}
	return q
}

// compileURL is what a feed asks for, always the same.
func (c *Client) compileURL(keys []string) string {
	q := c.query(keys)
	if c.opts.Secrets {
		q.Set("reveal", "true")
	}
	return "/compile?" + q.Encode()
}

// fetch asks for a configuration, unless it is the one with that entity tag.
func (c *Client) fetch(ctx context.Context, path, etag string) (*fetched, error) {
	header := http.Header{}
	if etag != "" {
		header["If-None-Match"] = []string{etag}
	}
	status, resp, err := c.do(ctx, http.MethodGet, path, nil, header)
	if err != nil {
		return nil, err
	}
	if status == http.StatusNotModified {
		return nil, errNotModified
	}
	f, err := parseFetched(resp.body)
	if err != nil || f.Value.IsZero() || f.Hash == "" {
		return nil, errors.Join(fmt.Errorf("configsvc: %s answered without a configuration; is it the URL of a configuration service?", c.base.Redacted()), err)
	}
	f.etag = resp.header.Get("Etag")
	f.Revision, _ = strconv.ParseInt(resp.header.Get(revisionHeader), 10, 64) // for people only
	return f, nil
}

// parseFetched reads the document of a configuration without decoding the
// configuration itself twice.
func parseFetched(text []byte) (*fetched, error) {
	doc, err := Parse(text)
	if err != nil {
		return nil, err
	}
	f := &fetched{Value: doc.Get("value")}
	f.Hash, _ = doc.Get("hash").Text()
	for _, l := range doc.Get("layers").Elements() {
		name, _ := l.Get("name").Text()
		version, _ := strconv.ParseInt(l.Get("version").text, 10, 64) // absent where there is none
		f.Layers = append(f.Layers, LayerRef{name, version})
	}
	for name, list := range map[string]*[]string{"secrets": &f.Secrets, "rollouts": &f.Rollouts} {
		for _, e := range doc.Get(name).Elements() {
			s, _ := e.Text()
			*list = append(*list, s)
		}
	}
	return f, nil
}

// get reads a JSON document into v.
func (c *Client) get(ctx context.Context, path string, v any) error {
	_, resp, err := c.do(ctx, http.MethodGet, path, nil, nil)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(resp.body, v); err != nil {
		return fmt.Errorf("configsvc: the answer of %s: %w", c.base.Redacted(), err)
	}
	return nil
}

var accepted = []string{hal.HALType + ", " + hal.JSONType}

type response struct {
	header http.Header
	body   []byte
}

// do sends a request. A status from 400 on is an error, a *hal.Problem.
func (c *Client) do(ctx context.Context, method, path string, body io.Reader, header http.Header) (int, response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base.String()+path, body)
	if err != nil {
		return 0, response{}, fmt.Errorf("configsvc: %w", err)
	}
	maps.Copy(req.Header, header)
	req.Header["Accept"] = accepted
	resp, err := c.opts.HTTP.Do(req)
	if err != nil {
		return 0, response{}, fmt.Errorf("configsvc: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxResponse+1))
	switch {
	case err != nil:
		return 0, response{}, fmt.Errorf("configsvc: read the answer of %s: %w", c.base.Redacted(), err)
	case len(text) > maxResponse:
		return 0, response{}, fmt.Errorf("configsvc: the answer of %s has more than %d bytes", c.base.Redacted(), maxResponse)
	case resp.StatusCode >= http.StatusBadRequest:
		p := &hal.Problem{}
		if json.Unmarshal(text, p) != nil || p.Status == 0 {
			p = &hal.Problem{}
		}
		p.Status = resp.StatusCode
		return 0, response{}, fmt.Errorf("configsvc: %s: %w", c.base.Redacted(), p)
	}
	return resp.StatusCode, response{resp.Header, text}, nil
}
