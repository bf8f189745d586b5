package haltest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/yosida95/uritemplate/v3"

	"github.com/goswale/swale/hal"
)

// Options configure Check and Crawl. The zero value and nil are useful.
type Options struct {
	// Transport sends the requests. Default: http.DefaultTransport. See Serve.
	Transport http.RoundTripper
	// Header is sent with every request. Default: Accept for HAL and JSON.
	Header http.Header
	// Values fill in the variables of templates. A template with a variable
	// that isn't here is only parsed. Default: none.
	Values map[string]string
	// Limit is how many URLs are visited. Default: 1000.
	Limit int
	// Skip leaves out links. Default: none is left out.
	Skip func(rel, href string) bool
	// Ignore leaves out rules by their names in the package's documentation.
	// Default: every rule is checked.
	Ignore []string
}

// Finding is one thing that is wrong with an API.
type Finding struct {
	// Rule is the name of the rule that is broken.
	Rule string
	// URL is the document at fault.
	URL string
	// Detail says what is wrong with it.
	Detail string
}

// String returns the rule, the URL and the detail.
func (f Finding) String() string { return f.Rule + ": " + f.URL + ": " + f.Detail }

// Report is what a crawl has seen.
type Report struct {
	// Visited are the URLs that were asked for, in order.
	Visited []string
	// Documents is how many of them were HAL documents.
	Documents int
	// Relations counts the links of each relation.
	Relations map[string]int
	// Findings are what is wrong.
	Findings []Finding
	// Truncated says that Options.Limit ended the crawl.
	Truncated bool
}

// Check crawls the API from start on and fails the test with every finding.
func Check(tb testing.TB, start string, opts *Options) *Report {
	tb.Helper()
	report, err := Crawl(tb.Context(), start, opts)
	if err != nil {
		tb.Fatal(err)
	}
	for _, f := range report.Findings {
		tb.Errorf("%s", f)
	}
	if report.Truncated {
		tb.Errorf("the crawl ended after %d URLs; raise Options.Limit or leave out links by Options.Skip", len(report.Visited))
	}
	return report
}

// Crawl visits every URL of the API that links lead to from start on. Its
// error says that ctx has ended or start is no URL; all else is a finding.
func Crawl(ctx context.Context, start string, opts *Options) (*Report, error) {
	c := &crawler{report: &Report{Relations: map[string]int{}}, queued: map[string]bool{}, many: map[string]bool{}}
	if opts != nil {
		c.opts = *opts
	}
	if c.opts.Transport == nil {
		c.opts.Transport = http.DefaultTransport
	}
	if c.opts.Limit <= 0 {
		c.opts.Limit = 1000
	}
	first, err := url.Parse(start)
	if err != nil || first.Host == "" {
		return nil, fmt.Errorf("haltest: %q is not an absolute URL", start)
	}
	c.start = first
	c.add(first, nil, "start")
	for len(c.queue) > 0 && ctx.Err() == nil {
		if len(c.report.Visited) == c.opts.Limit {
			c.report.Truncated = true
			break
		}
		next := c.queue[0]
		c.queue = c.queue[1:]
		c.visit(ctx, next)
	}
	return c.report, ctx.Err()
}

type crawler struct {
	opts   Options
	start  *url.URL
	report *Report
	queue  []visit
	queued map[string]bool
	many   map[string]bool // per relation: whether it was an array when first seen
}

type visit struct {
	url       *url.URL
	from, rel string
}

func (c *crawler) find(rule, at, format string, args ...any) {
	if !slices.Contains(c.opts.Ignore, rule) {
		c.report.Findings = append(c.report.Findings, Finding{rule, at, fmt.Sprintf(format, args...)})
	}
}

func (c *crawler) add(u, from *url.URL, rel string) {
	if u.Scheme != c.start.Scheme || u.Host != c.start.Host {
		return
	}
	plain := *u
	plain.Fragment, plain.RawFragment = "", ""
	if c.queued[plain.String()] {
		return
	}
	c.queued[plain.String()] = true
	v := visit{url: &plain, rel: rel}
	if from != nil {
		v.from = from.String()
	}
	c.queue = append(c.queue, v)
}

// answer is a response that was read to its end.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (c *crawler) get(ctx context.Context, at string, header ...string) (*answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", hal.HALType+", "+hal.JSONType+";q=0.8, */*;q=0.1")
	for name, values := range c.opts.Header {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := c.opts.Transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	return &answer{resp.StatusCode, resp.Header, body}, err
}

func (c *crawler) visit(ctx context.Context, v visit) {
	at := v.url.String()
	c.report.Visited = append(c.report.Visited, at)
	resp, err := c.get(ctx, at)
	if err != nil {
		if ctx.Err() == nil {
			c.find("links", at, "%q of %s: %v", v.rel, v.from, err)
		}
		return
	}
	mediaType, _, _ := mime.ParseMediaType(resp.header.Get("Content-Type"))
	switch {
	case resp.status >= 400:
		c.find("links", at, "%q of %s leads to %d %s", v.rel, v.from, resp.status, http.StatusText(resp.status))
		if mediaType != hal.ProblemType {
			c.find("problem", at, "a %d is answered with %q, not with a problem document", resp.status, mediaType)
		}
		return
	case resp.status >= 300:
		if to, err := v.url.Parse(resp.header.Get("Location")); err == nil && resp.header.Get("Location") != "" {
			c.add(to, v.url, v.rel)
		} else {
			c.find("links", at, "a redirect leads nowhere")
		}
		return
	}
	if mediaType != hal.HALType && mediaType != hal.FormsType {
		return
	}
	c.report.Documents++
	c.etag(ctx, at, resp)
	var doc map[string]json.RawMessage
	if err := json.Unmarshal(resp.body, &doc); err != nil {
		c.find("shape", at, "not a JSON object: %v", err)
		return
	}
	c.document(v.url, doc, "")
}

func (c *crawler) etag(ctx context.Context, at string, resp *answer) {
	tag := resp.header.Get("Etag")
	if !strings.HasPrefix(tag, `"`) {
		c.find("etag", at, "no strong ETag, but %q", tag)
		return
	}
	again, err := c.get(ctx, at, "If-None-Match", tag)
	if err == nil && again.status != http.StatusNotModified && again.header.Get("Etag") == tag {
		c.find("etag", at, "If-None-Match with its ETag %s gives %d, not 304", tag, again.status)
	}
}

// document checks one document, or an embedded one, and queues its links.
func (c *crawler) document(at *url.URL, doc map[string]json.RawMessage, within string) {
	where := at.String() + within
	var links hal.Links
	if raw, ok := doc["_links"]; ok {
		if err := json.Unmarshal(raw, &links); err != nil {
			c.find("shape", where, "_links is not an object")
			return
		}
	}
	if within == "" {
		c.self(at, links)
	}
	prefixes := make(map[string]bool)
	for _, curie := range links.All("curies") {
		prefixes[curie.Name] = true
	}
	for rel, all := range links.Relations() {
		c.report.Relations[rel] += len(all)
		c.shape(where, rel, links.IsMany(rel))
		if name, _, ok := strings.Cut(rel, ":"); ok && !strings.Contains(rel, "/") && !prefixes[name] {
			c.find("curie", where, "the relation %q has no curies link named %q", rel, name)
		}
		if len(all) == 0 && !links.IsMany(rel) {
			c.find("shape", where, "the relation %q is not a link object with an href", rel)
		}
		for _, link := range all {
			c.link(at, where, rel, link)
		}
	}
	raw, ok := doc["_embedded"]
	if !ok {
		return
	}
	var embedded map[string]json.RawMessage
	if json.Unmarshal(raw, &embedded) != nil {
		c.find("shape", where, "_embedded is not an object")
		return
	}
	for rel, value := range embedded {
		var list []map[string]json.RawMessage
		var one map[string]json.RawMessage
		if json.Unmarshal(value, &list) != nil {
			if json.Unmarshal(value, &one) != nil {
				c.find("shape", where, "embedded %q is neither a document nor an array of them", rel)
				continue
			}
			list = append(list, one)
		}
		for i, each := range list {
			c.document(at, each, fmt.Sprintf("%s#/_embedded/%s/%d", within, rel, i))
		}
	}
}

func (c *crawler) self(at *url.URL, links hal.Links) {
	self := links.All("self")
	if len(self) != 1 || links.IsMany("self") {
		c.find("self", at.String(), "there must be exactly one self link, as an object")
		return
	}
	if self[0].Templated {
		return // as some frameworks write it for a collection
	}
	if to, err := at.Parse(self[0].Href); err != nil || to.Path != at.Path || to.Host != at.Host {
		c.find("self", at.String(), "self leads to %q", self[0].Href)
	}
}

func (c *crawler) shape(where, rel string, many bool) {
	if before, seen := c.many[rel]; !seen {
		c.many[rel] = many
	} else if before != many {
		c.find("shape", where, "the relation %q is an array here or elsewhere, and one link in the other place", rel)
	}
}

func (c *crawler) link(at *url.URL, where, rel string, link hal.Link) {
	if c.opts.Skip != nil && c.opts.Skip(rel, link.Href) {
		return
	}
	href := link.Href
	if link.Templated {
		template, err := uritemplate.New(href)
		if err != nil {
			c.find("template", where, "the template %q of %q can't be parsed: %v", href, rel, err)
			return
		}
		if rel == "curies" {
			return
		}
		var vars []hal.Var
		for _, name := range template.Varnames() {
			value, ok := c.opts.Values[name]
			if !ok {
				return
			}
			vars = append(vars, hal.V(name, value))
		}
		if href, err = hal.Expand(href, vars...); err != nil {
			c.find("template", where, "%q: %v", rel, err)
			return
		}
	} else if strings.ContainsAny(href, "{}") {
		c.find("template", where, "%q of %q looks like a template, and doesn't say so", href, rel)
		return
	}
	to, err := at.Parse(href)
	if err != nil {
		c.find("links", where, "%q of %q is not a URI: %v", href, rel, err)
		return
	}
	c.add(to, at, rel)
}
