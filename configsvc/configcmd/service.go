package configcmd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/goswale/swale/configsvc/store"
	"github.com/goswale/swale/hal"
)

// service talks to the configuration service.
type service struct {
	base, token string
	http        *http.Client
}

func newService(base, token string) (*service, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("%w: -url or SWALE_CONFIG_URL must be the service's URL, such as http://127.0.0.1:8500; it is %q", errUsage, base)
	}
	return &service{strings.TrimSuffix(base, "/"), token, &http.Client{Timeout: 30 * time.Second}}, nil
}

// answer is a response that was read.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// refusal is a problem document, with what the service says is wrong with a
// write.
type refusal struct {
	*hal.Problem
	Problems []store.Problem `json:"problems"`
}

func (r *refusal) Error() string {
	lines := []string{r.Problem.Error()}
	for _, p := range r.Problems {
		lines = append(lines, p.String())
	}
	return strings.Join(lines, "\n  ")
}

func (r *refusal) Unwrap() error { return r.Problem }

// ask sends a request; header is name, value, name, value….
func (s *service) ask(ctx context.Context, method, path string, body []byte, header ...string) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, s.base+path, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Accept", hal.HALType)
	if body != nil {
		req.Header.Set("Content-Type", hal.JSONType)
	}
	if s.token != "" {
		req.Header.Set("Authorization", "Bearer "+s.token)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := s.http.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil {
		return answer{}, err
	}
	if resp.StatusCode >= http.StatusBadRequest {
		r := &refusal{Problem: &hal.Problem{}}
		if json.Unmarshal(text, r.Problem) != nil {
			r.Problem = &hal.Problem{}
		}
		r.Status = resp.StatusCode
		var more struct{ Problems []store.Problem }
		if json.Unmarshal(text, &more) == nil {
			r.Problems = more.Problems
		}
		return answer{}, r
	}
	return answer{resp.StatusCode, resp.Header, text}, nil
}

// read decodes the document at a path.
func (s *service) read(ctx context.Context, path string, v any) (answer, error) {
	a, err := s.ask(ctx, http.MethodGet, path, nil)
	if err != nil {
		return a, err
	}
	if err := json.Unmarshal(a.body, v); err != nil {
		return a, fmt.Errorf("the answer of %s: %w", s.base, err)
	}
	return a, nil
}

func absent(err error) bool {
	var r *refusal
	return errors.As(err, &r) && r.Status == http.StatusNotFound
}
