package explorer

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/goswale/swale/hal"
)

// call is what the page asks the handler to send.
type call struct {
	Method  string            `json:"method"`
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
}

// answer is what came back.
type answer struct {
	Status     int         `json:"status"`
	StatusText string      `json:"statusText"`
	URL        string      `json:"url"`
	Headers    [][2]string `json:"headers"`
	Body       string      `json:"body"`
	Truncated  bool        `json:"truncated,omitempty"`
	Millis     float64     `json:"millis"`
}

// passed are the fields that a page may set: those that an API's client sets,
// not those that a browser or a proxy does.
var passed = []string{"Accept", "Accept-Language", "Authorization", "Cache-Control", "Content-Type", "If-Match", "If-None-Match", "Prefer", "Idempotency-Key"}

// call sends one request for the page. Cross-origin pages were refused before.
func (e *Explorer) call(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", "POST")
		hal.WriteProblem(w, r, hal.NewProblem(http.StatusMethodNotAllowed, ""))
		return
	}
	// A page of another site can't send this type without asking first.
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != hal.JSONType {
		hal.WriteProblem(w, r, hal.NewProblem(http.StatusUnsupportedMediaType, ""))
		return
	}
	c, err := hal.Decode[call](r, &hal.DecodeOptions{MaxBytes: e.opts.MaxBytes})
	if err != nil {
		hal.WriteProblem(w, r, err)
		return
	}
	a, err := e.send(r.Context(), &c)
	if err != nil {
		e.opts.Logger.InfoContext(r.Context(), "explorer: call failed", slog.String("url", c.URL), slog.Any("error", err))
		hal.WriteProblem(w, r, err)
		return
	}
	w.Header().Set("Content-Type", hal.JSONType)
	_ = json.NewEncoder(w).Encode(a)
}

func (e *Explorer) send(ctx context.Context, c *call) (*answer, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, hal.NewProblem(http.StatusBadRequest, "The URL must be an absolute one of http or https.")
	}
	if !e.any && !e.origins[origin(u)] {
		return nil, hal.NewProblem(http.StatusForbidden, "The explorer may not call "+origin(u)+". Name it in explorer.Options.Origins.")
	}
	method := strings.ToUpper(c.Method)
	if !slices.Contains([]string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}, method) {
		return nil, hal.NewProblem(http.StatusBadRequest, "The method is not one of HTTP's.")
	}
	ctx, cancel := context.WithTimeout(ctx, e.opts.Timeout)
	defer cancel()
	var body io.Reader
	if c.Body != "" {
		body = strings.NewReader(c.Body)
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), body) //nolint:gosec // to origins that the options name
	if err != nil {
		return nil, hal.NewProblem(http.StatusBadRequest, err.Error())
	}
	for name, value := range c.Headers {
		if name = http.CanonicalHeaderKey(name); slices.Contains(passed, name) {
			req.Header.Set(name, value)
		}
	}
	req.Header.Set("User-Agent", "swale-explorer")
	start := time.Now()
	// RoundTrip rather than a Client: redirects are shown, not followed.
	resp, err := e.opts.Transport.RoundTrip(req)
	if err != nil {
		return nil, &hal.Problem{Status: http.StatusBadGateway, Title: "The API did not answer", Detail: err.Error(), Err: err}
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(resp.Body, e.opts.MaxBytes+1))
	if err != nil {
		return nil, &hal.Problem{Status: http.StatusBadGateway, Title: "The answer broke off", Detail: err.Error(), Err: err}
	}
	a := &answer{
		Status: resp.StatusCode, StatusText: http.StatusText(resp.StatusCode), URL: u.String(),
		Millis: float64(time.Since(start).Microseconds()) / 1000,
	}
	if int64(len(data)) > e.opts.MaxBytes {
		data, a.Truncated = data[:e.opts.MaxBytes], true
	}
	if utf8.Valid(data) {
		a.Body = string(data)
	} else {
		a.Body = "(not text)"
	}
	for name, values := range resp.Header {
		for _, value := range values {
			a.Headers = append(a.Headers, [2]string{name, value})
		}
	}
	slices.SortFunc(a.Headers, func(x, y [2]string) int { return strings.Compare(x[0], y[0]) })
	return a, nil
}
