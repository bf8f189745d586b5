// Package rows holds the figures, a file for each module.
package rows

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/goswale/swale/benchmarks/internal/ratio"
)

// All returns every row, in the order of printing.
func All() []ratio.Row {
	var all []ratio.Row
	all = append(all, cacheRows()...)
	all = append(all, halRows()...)
	all = append(all, pageRows()...)
	all = append(all, resnRows()...)
	all = append(all, busRows()...)
	all = append(all, natsRows()...)
	all = append(all, watermillRows()...)
	all = append(all, httpbusRows()...)
	all = append(all, rabbitRows()...)
	all = append(all, outboxRows()...)
	all = append(all, rulesRows()...)
	all = append(all, discoveryRows()...)
	all = append(all, configRows()...)
	all = append(all, sqladapterRows()...)
	all = append(all, redisadapterRows()...)
	all = append(all, authRows()...)
	return all
}

// oneKB is a JSON document of 1,024 bytes.
func oneKB() []byte {
	head := `{"_links":{"self":{"href":"http://origin.example/restaurants/203"}},"id":203,"text":"`
	return []byte(head + strings.Repeat("x", 1024-len(head)-2) + `"}`)
}

// stub answers every request from memory, like an owner next door.
type stub struct {
	body   []byte
	header http.Header
}

func newStub(body []byte) *stub {
	h := http.Header{}
	h.Set("Content-Type", "application/hal+json")
	h.Set("Content-Length", fmt.Sprint(len(body)))
	h.Set("Cache-Control", "max-age=3600")
	h.Set("Etag", `"v7"`)
	return &stub{body: body, header: h}
}

func (s *stub) RoundTrip(req *http.Request) (*http.Response, error) {
	h := s.header.Clone()
	h.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	return &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: h, ContentLength: int64(len(s.body)), Request: req,
		Body: io.NopCloser(bytes.NewReader(s.body)),
	}, nil
}

// fetch sends a GET through rt and reads the body, like a caller that decodes
// it would.
func fetch(rt http.RoundTripper, req *http.Request, buf []byte) error {
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return err
	}
	n := 0
	for {
		m, err := resp.Body.Read(buf[n:])
		n += m
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	if n != 1024 {
		return fmt.Errorf("read %d bytes instead of 1024", n)
	}
	return resp.Body.Close()
}

// getOnce sends a GET for a kilobyte and reads it.
func getOnce(ctx context.Context, c *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	n, err := io.Copy(io.Discard, resp.Body)
	if err == nil && (resp.StatusCode != http.StatusOK || n != 1024) {
		err = fmt.Errorf("%s: status %d with %d bytes", url, resp.StatusCode, n)
	}
	return err
}
