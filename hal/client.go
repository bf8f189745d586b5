package hal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/goswale/swale/hal/internal/rawjson"
)

// ClientOptions configure NewClient. The zero value and nil are useful.
type ClientOptions struct {
	// HTTP sends the requests. Its transport may be a cache that keeps decoded
	// values; its Timeout, if any, is applied to the context instead, so that
	// the cache isn't hidden behind net/http's timer. Default:
	// http.DefaultClient.
	HTTP *http.Client
	// Base is an absolute URL against which relative hrefs given to Get, Post
	// and From are resolved. Default: none, they must be absolute.
	Base string
	// Header is sent with every request. Default: Accept for HAL and JSON, which
	// it may replace.
	Header http.Header
	// AllowedHosts are the hosts, with port if any, that links and redirects may
	// lead to, beside the origin of the document that holds them and of Base:
	// "api.example:8443", "*.example" for every host below, "*" for all.
	// Default: none. Hrefs given to Get and Post aren't links, so they may name
	// any host.
	AllowedHosts []string
	// MaxBytes limits a response's body. Default: 16 MiB.
	MaxBytes int64
	// MaxDepth limits how deep a document nests. Default: 64.
	MaxDepth int
	// MaxRedirects limits how many redirects one request follows. Default: 5;
	// negative: none.
	MaxRedirects int
	// Parallel is how many requests FollowAll has under way. Default: 8.
	Parallel int
	// Embedded says when embedded resources stand for the linked ones. Default:
	// EmbeddedWhole.
	Embedded EmbeddedPolicy
	// Partial reports whether an embedded resource is less than the whole.
	// Default: IsPartial, which looks for the member "_partial": true.
	Partial func(rel string, resource []byte) bool
	// OnDeprecated is called before a deprecated link is followed, and after a
	// response that says that its resource is deprecated (RFC 9745). It must be
	// safe for concurrent use. Default: nobody is told.
	OnDeprecated func(ctx context.Context, d Deprecated)
	// Unconditional lets Put, Patch and Delete go ahead without an ETag.
	// Default: they fail with ErrNoETag.
	Unconditional bool
}

// Deprecated tells of a deprecated link or resource that is still in use.
type Deprecated struct {
	// From is the URL of the document with the link; empty for a resource.
	From string
	// Rel is the relation followed; empty for a resource.
	Rel string
	// URL is what was asked for.
	URL string
	// About is the deprecation property of the link, or the Deprecation field.
	About string
	// Sunset is when the resource will stop answering (RFC 8594), if known.
	Sunset time.Time
}

// Client reads and writes HAL resources over HTTP. Its functions are generic,
// so they aren't methods: Get, Follow, FollowAll, Put, Patch, Post, Delete.
// A Client is safe for concurrent use.
type Client struct {
	http     *http.Client
	timeout  time.Duration
	opts     ClientOptions
	header   http.Header // read only
	base     *url.URL
	baseHost string
	origin   string      // of base
	typed    typedLoader // nil when the transport keeps no decoded values
	typedAll typedLoaderAll
	baseErr  error
}

// typedLoaderAll is what it may implement besides, for many at a time.
type typedLoaderAll interface {
	LoadTypedAll(ctx context.Context, header http.Header, typ any, n int, href func(i int) string, found func(i int, value any))
}

// typedLoader is what a transport implements that keeps decoded values beside
// what it stores: the value decoded before for href that may be used now
// without asking. header holds the fields that the request would have.
type typedLoader interface {
	LoadTyped(ctx context.Context, href string, header http.Header, typ any) (value any, ok bool)
}

// decodeOncer is what the body of a stored response implements to be decoded
// once per stored version.
type decodeOncer interface {
	DecodeOnce(typ any, decode func(body []byte) (any, error)) (any, error)
}

// typeKey names the decoded form *Resource[T]. It has no size, so that making
// an interface of it allocates nothing.
type typeKey[T any] struct{}

const defaultAccept = HALType + ", " + JSONType + ";q=0.8"

// NewClient returns a Client.
func NewClient(opts *ClientOptions) *Client {
	c := &Client{}
	if opts != nil {
		c.opts = *opts
	}
	o := &c.opts
	if o.HTTP == nil {
		o.HTTP = http.DefaultClient
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = 16 << 20
	}
	if o.MaxDepth <= 0 {
		o.MaxDepth = 64
	}
	if o.MaxRedirects == 0 {
		o.MaxRedirects = 5
	}
	if o.Parallel <= 0 {
		o.Parallel = 8
	}
	if o.Partial == nil {
		o.Partial = IsPartial
	}
	if o.Base != "" {
		c.base, c.baseErr = url.Parse(o.Base)
		if c.baseErr == nil && !c.base.IsAbs() {
			c.baseErr = fmt.Errorf("hal: ClientOptions.Base %q is not absolute", o.Base)
		}
		if c.baseErr == nil {
			c.baseHost = c.base.Host
			root := url.URL{Scheme: c.base.Scheme, User: c.base.User, Host: c.base.Host}
			c.origin = root.String()
		}
	}
	o.AllowedHosts = slices.Clone(o.AllowedHosts)
	for i, pattern := range o.AllowedHosts {
		o.AllowedHosts[i] = strings.ToLower(pattern)
	}
	c.setHeader(o.Header)
	copied := *o.HTTP
	c.timeout, copied.Timeout = copied.Timeout, 0
	next := copied.CheckRedirect
	copied.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		if len(via) > o.MaxRedirects {
			return fmt.Errorf("%w: more than %d redirects", ErrLimit, max(o.MaxRedirects, 0))
		}
		asked := via[0].URL
		downgraded := asked.Scheme == "https" && req.URL.Scheme != "https"
		if (req.URL.Host != asked.Host || downgraded) && !c.allows(req.URL) {
			return fmt.Errorf("%w: redirect to %s", ErrHost, req.URL.Host)
		}
		if next != nil {
			return next(req, via)
		}
		return nil
	}
	c.http = &copied
	c.typed, _ = copied.Transport.(typedLoader)
	c.typedAll, _ = copied.Transport.(typedLoaderAll)
	return c
}

// With returns a client that sends the fields of header too, in place of
// those of the same name.
func (c *Client) With(header http.Header) *Client {
	if c == nil {
		return nil // says so when it is used
	}
	copied := *c
	merged := c.header.Clone()
	for name, values := range header {
		merged[http.CanonicalHeaderKey(name)] = values
	}
	copied.setHeader(merged)
	return &copied
}

func (c *Client) setHeader(h http.Header) {
	c.header = make(http.Header, len(h)+1)
	for name, values := range h {
		c.header[http.CanonicalHeaderKey(name)] = slices.Clone(values)
	}
	if len(c.header["Accept"]) == 0 {
		c.header["Accept"] = []string{defaultAccept}
	}
}

// allows reports whether links may lead to the host of u.
func (c *Client) allows(u *url.URL) bool {
	if u.Scheme != "http" && u.Scheme != "https" {
		return false
	}
	if u.Host == c.baseHost && c.base != nil && u.Scheme == c.base.Scheme {
		return true
	}
	host := strings.ToLower(u.Host)
	for _, pattern := range c.opts.AllowedHosts {
		if pattern == "*" || pattern == host {
			return true
		}
		if below, ok := strings.CutPrefix(pattern, "*."); ok && strings.HasSuffix(host, "."+below) {
			return true
		}
	}
	return false
}

var errNotMade = errors.New("hal: the *Client is nil, or wasn't made by NewClient")

// made refuses a client that can send nothing.
func (c *Client) made() error {
	if c == nil || c.http == nil {
		return errNotMade
	}
	return nil
}

// absolute resolves an href given by the caller, cheaply where it is absolute.
func (c *Client) absolute(href string) (string, error) {
	if err := c.made(); err != nil {
		return "", err
	}
	if strings.HasPrefix(href, "https://") || strings.HasPrefix(href, "http://") {
		return href, nil
	}
	if c.baseErr != nil {
		return "", c.baseErr
	}
	if c.base == nil {
		return "", fmt.Errorf("hal: %q is not an absolute URL, and ClientOptions.Base is not set", href)
	}
	if plainPath(href) {
		return c.origin + href, nil
	}
	u, err := c.base.Parse(href)
	if err != nil {
		return "", fmt.Errorf("hal: %w", err)
	}
	return u.String(), nil
}

// plainPath reports whether an href is a path, perhaps with a query, that
// resolving and formatting would leave as it is.
func plainPath(href string) bool {
	if !strings.HasPrefix(href, "/") || strings.HasPrefix(href, "//") || strings.Contains(href, "/.") {
		return false
	}
	for i := range len(href) {
		switch c := href[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case strings.IndexByte("/-_.~?=&,", c) >= 0:
		default:
			return false
		}
	}
	return true
}

// Get returns the resource at href. When the transport keeps decoded values
// and may reuse one now, that is returned as it is: a *Resource is shared and
// must not be changed.
//
// A response with a status from 400 on is a *Problem, whatever its body.
func Get[T any](ctx context.Context, c *Client, href string) (*Resource[T], error) {
	href, err := c.absolute(href)
	if err != nil {
		return nil, err
	}
	if r, ok := loadTyped[T](ctx, c, href); ok {
		return r, nil
	}
	return fetch[T](ctx, c, href)
}

func loadTyped[T any](ctx context.Context, c *Client, href string) (*Resource[T], bool) {
	if c.typed == nil {
		return nil, false
	}
	v, ok := c.typed.LoadTyped(ctx, href, c.header, typeKey[T]{})
	if !ok {
		return nil, false
	}
	r, ok := v.(*Resource[T])
	return r, ok
}

func fetch[T any](ctx context.Context, c *Client, href string) (*Resource[T], error) {
	return send[T](ctx, c, http.MethodGet, href, nil, nil)
}

// send sends one request and reads the response to its end.
func send[T any](ctx context.Context, c *Client, method, href string, header http.Header, body io.Reader) (*Resource[T], error) {
	if c.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.timeout)
		defer cancel()
	}
	req, err := http.NewRequestWithContext(ctx, method, href, body)
	if err != nil {
		return nil, fmt.Errorf("hal: %w", err)
	}
	maps.Copy(req.Header, c.header)
	maps.Copy(req.Header, header)
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("hal: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	c.hearDeprecation(ctx, resp)
	if resp.StatusCode >= 400 {
		return nil, readProblem(resp, c.opts.MaxBytes)
	}
	if resp.StatusCode >= 300 {
		return nil, fmt.Errorf("hal: %s %s answered %s, which was not asked for", method, href, resp.Status)
	}
	if contentType := resp.Header.Get("Content-Type"); contentType != "" && !isJSON(contentType) {
		if method != http.MethodGet { // a write that worked, however it says so
			return newResource[T](resp, nil), nil
		}
		return nil, fmt.Errorf("hal: %s answered with %s, not JSON", href, contentType)
	}
	if once, ok := resp.Body.(decodeOncer); ok && method == http.MethodGet {
		v, err := once.DecodeOnce(typeKey[T]{}, func(body []byte) (any, error) {
			return decodeResponse[T](c, resp, body)
		})
		if err != nil {
			return nil, err
		}
		if r, ok := v.(*Resource[T]); ok {
			return r, nil
		}
		return nil, fmt.Errorf("hal: the transport returned a %T for a %T", v, (*Resource[T])(nil))
	}
	data, err := readBody(resp, c.opts.MaxBytes)
	if err != nil {
		return nil, fmt.Errorf("hal: %s: %w", href, err)
	}
	return decodeResponse[T](c, resp, data)
}

func newResource[T any](resp *http.Response, body []byte) *Resource[T] {
	r := &Resource[T]{Status: resp.StatusCode, Header: resp.Header, ETag: resp.Header.Get("Etag")}
	r.URL = resp.Request.URL.String()
	r.doc = &document{raw: body, url: r.URL, header: resp.Header}
	return r
}

func decodeResponse[T any](c *Client, resp *http.Response, body []byte) (*Resource[T], error) {
	r := newResource[T](resp, body)
	if len(body) == 0 {
		return r, nil
	}
	if int64(len(body)) > c.opts.MaxBytes {
		return nil, fmt.Errorf("hal: %s: %w: more than %d bytes", r.URL, ErrLimit, c.opts.MaxBytes)
	}
	if rawjson.TooDeep(body, c.opts.MaxDepth) {
		return nil, fmt.Errorf("hal: %s: %w: nests deeper than %d", r.URL, ErrLimit, c.opts.MaxDepth)
	}
	if err := Unmarshal(body, &r.Value); err != nil {
		return nil, fmt.Errorf("hal: %s: %w", r.URL, err)
	}
	return r, nil
}

// readBody reads to the end, at once where the length is known.
func readBody(resp *http.Response, limit int64) ([]byte, error) {
	if resp.ContentLength > limit {
		return nil, fmt.Errorf("%w: %d bytes, more than %d", ErrLimit, resp.ContentLength, limit)
	}
	if n := resp.ContentLength; n >= 0 {
		data := make([]byte, n)
		_, err := io.ReadFull(resp.Body, data)
		return data, err
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%w: more than %d bytes", ErrLimit, limit)
	}
	return data, err
}

// readProblem makes a *Problem of a response with an error status.
func readProblem(resp *http.Response, limit int64) error {
	p := &Problem{}
	body, err := io.ReadAll(io.LimitReader(resp.Body, min(limit, 64<<10)))
	mediaType, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err == nil && mediaType == ProblemType {
		if perr := Unmarshal(body, p); perr != nil {
			p = &Problem{}
		}
	} else if strings.HasPrefix(mediaType, "text/plain") {
		p.Detail = strings.TrimSpace(string(body[:min(len(body), 500)]))
	}
	p.Status = resp.StatusCode // what was answered, whatever the document says
	if p.Title == "" && p.Type == "" {
		p.Title = http.StatusText(p.Status)
	}
	p.Header = resp.Header
	return p
}

func (c *Client) hearDeprecation(ctx context.Context, resp *http.Response) {
	about := resp.Header.Get("Deprecation")
	if about == "" || c.opts.OnDeprecated == nil {
		return
	}
	d := Deprecated{URL: resp.Request.URL.String(), About: about}
	if t, err := http.ParseTime(resp.Header.Get("Sunset")); err == nil {
		d.Sunset = t
	}
	c.opts.OnDeprecated(ctx, d)
}
