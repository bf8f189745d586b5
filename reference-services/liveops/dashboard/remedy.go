package dashboard

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"

	"github.com/goswale/swale/hal"
)

// remedies are the relations that the page offers: those that need nothing said.
var remedies = []string{"accept", "ready", "collect", "deliver", "cancel"}

// maxAnswer bounds what is passed on of an owner's answer.
const maxAnswer = 64 << 10

// do follows a link of an issue for the page, which may not reach the order's owner
// itself: the parameters issue and rel say which.
func (p *Page) do(w http.ResponseWriter, r *http.Request) error {
	if err := http.NewCrossOriginProtection().Check(r); err != nil {
		return hal.NewProblem(http.StatusForbidden, "The request comes from a page of another site.")
	}
	rel := r.URL.Query().Get("rel")
	if !slices.Contains(remedies, rel) {
		return hal.NewProblem(http.StatusBadRequest, "That isn't done from here; open the order.")
	}
	ctx := r.Context()
	root, err := hal.Get[hal.Any](ctx, p.api, p.opts.Root)
	if err != nil {
		return unavailable(err)
	}
	issue, err := hal.Follow[hal.Any](ctx, p.api, root, "issue", hal.V("id", r.URL.Query().Get("issue")))
	if err != nil {
		return unavailable(err)
	}
	remedy, possible := issue.Links().Get(rel)
	about, known := issue.Links().Get("order")
	if !possible || !known || !sameOrigin(remedy.Href, about.Href) {
		return hal.NewProblem(http.StatusConflict, "That can't be done any more; the order has changed.")
	}
	order, err := hal.Get[hal.Any](ctx, p.api, about.Href)
	if err != nil {
		return unavailable(err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, remedy.Href, http.NoBody)
	if err != nil {
		return err
	}
	req.Header.Set("If-Match", order.ETag)
	resp, err := p.client.HTTP().Do(req)
	if err != nil {
		return unavailable(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode < 300 {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	w.Header().Set("Content-Type", resp.Header.Get("Content-Type")) // the owner's own words
	w.WriteHeader(resp.StatusCode)
	_, _ = io.Copy(w, io.LimitReader(resp.Body, maxAnswer))
	return nil
}

func sameOrigin(a, b string) bool {
	u, err := url.Parse(a)
	v, otherErr := url.Parse(b)
	return err == nil && otherErr == nil && u.Host != "" && u.Scheme == v.Scheme && u.Host == v.Host
}

// unavailable passes on what an owner says itself.
func unavailable(err error) error {
	if known := (hal.Problemer)(nil); errors.As(err, &known) {
		return err
	}
	return &hal.Problem{Status: http.StatusBadGateway, Detail: "The owner doesn't answer.", Err: err}
}
