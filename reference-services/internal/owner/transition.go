package owner

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"strings"

	"github.com/goswale/swale/hal"
	"github.com/goswale/swale/resn"
)

// maxBody bounds a request's body, in bytes.
const maxBody = 16 << 10

// Transition is a change that clients may ask for while it is possible.
type Transition[S State] struct {
	// Name is the relation of its link, and the last part of its URL.
	Name string
	// Title says to people what it does.
	Title string

	possible func(S) bool
	form     hal.Template
	read     func(*http.Request) (apply func(S) S, err error)
}

// None is the input of a transition that needs none.
type None struct{}

// On returns a transition. It is possible in the states that possible says, and
// makes of such a state, and what the client sent, the new one. In describes the
// form; its Validate method, if any, says what is wrong with what was sent.
func On[S State, In any](name, title string, possible func(S) bool, apply func(S, In) S) Transition[S] {
	t := Transition[S]{Name: name, Title: title, possible: possible}
	var none In
	t.form = hal.FormOf(name, http.MethodPost, none)
	t.form.Title = title
	empty := reflect.TypeFor[In]() == reflect.TypeFor[None]()
	t.read = func(r *http.Request) (func(S) S, error) {
		in, err := none, error(nil)
		if !empty || r.ContentLength != 0 { // a form sends its {}, and curl nothing
			in, err = hal.Decode[In](r, &hal.DecodeOptions{MaxBytes: maxBody, Strict: true})
		}
		return func(s S) S { return apply(s, in) }, err
	}
	return t
}

// links links a version to itself and to what is possible now.
func (c *Collection[S]) links(i Item[S]) hal.Links {
	var l hal.Links
	l.Set("self", hal.To(c.URL(i.ID)))
	l.Set("collection", hal.To(c.opts.BaseURL+"/"+c.topic))
	for _, t := range c.transitions {
		if t.possible(i.State) {
			l.Set(t.Name, hal.Link{Href: c.URL(i.ID, t.Name), Title: t.Title})
		}
	}
	return l
}

// ifMatch is the query of a form's target, in place of the field: a form has no
// header.
const ifMatch = "if_match"

// formOf is a transition's form for a version.
func (c *Collection[S]) formOf(t *Transition[S], i Item[S]) hal.Template {
	form := t.form
	form.Target = c.URL(i.ID, t.Name) + "?" + url.Values{ifMatch: {c.etag(i.Version)}}.Encode()
	return form
}

// do answers the POST of a transition.
func (c *Collection[S]) do(t *Transition[S]) hal.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if tag := r.URL.Query().Get(ifMatch); tag != "" && r.Header.Get("If-Match") == "" {
			r.Header.Set("If-Match", tag)
		}
		// Read before the transaction, which keeps all other writers out and must
		// not wait for a slow client; what is wrong with it comes after what is
		// wrong with its time.
		body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
		if err != nil {
			return &hal.Problem{Status: http.StatusBadRequest, Detail: "The body could not be read.", Err: err}
		}
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		changed, err := c.Change(r.Context(), r.PathValue("id"), func(now Item[S]) (S, error) {
			if !t.possible(now.State) {
				return now.State, c.impossible(t, now)
			}
			if err := hal.Check(r, hal.Conditions{ETag: c.etag(now.Version), Require: true}); err != nil {
				return now.State, err
			}
			apply, err := t.read(r)
			if err != nil {
				return now.State, err
			}
			return apply(now.State), nil
		})
		if err != nil {
			return c.problem(err)
		}
		return c.Write(w, r, http.StatusOK, changed)
	}
}

// impossible says what is possible instead. Who couldn't do it with the newest
// version either isn't told that there is one (RFC 9110 section 13.2.1).
func (c *Collection[S]) impossible(t *Transition[S], now Item[S]) error {
	possible, instead := []string{}, "nothing"
	for _, other := range c.transitions {
		if other.possible(now.State) {
			possible = append(possible, other.Name)
			instead = strings.Join(possible, ", ")
		}
	}
	p := hal.NewProblem(http.StatusConflict, fmt.Sprintf("It is %v, and %s isn't possible then; %s is.", now.State, t.Name, instead))
	p.Extensions = map[string]any{"state": now.State.String(), "possible": possible}
	p.Header = http.Header{"Etag": {c.etag(now.Version)}}
	return p
}

// Href says what is wrong with an href that a client sent; nil if nothing is.
func Href(pointer, href string) []hal.FieldError {
	if what := wrongHref(href); what != "" {
		return []hal.FieldError{{Pointer: pointer, Detail: what}}
	}
	return nil
}

func wrongHref(href string) string {
	u, err := url.Parse(href)
	switch {
	case len(href) > resn.MaxHref:
		return fmt.Sprintf("It has %d bytes; at most %d are allowed.", len(href), resn.MaxHref)
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return "It must be an absolute http or https URL."
	case u.User != nil || u.Fragment != "":
		return "It must have neither a user nor a fragment."
	}
	return ""
}

// Place says what is wrong with a place that a client sent; nil if nothing is. Where
// both are zero is open sea: zeros are what was left out.
func Place(pointer string, lat, lon float64) []hal.FieldError {
	if lat == 0 && lon == 0 || !(lat >= -90 && lat <= 90) || !(lon >= -180 && lon <= 180) {
		return []hal.FieldError{{Pointer: pointer, Detail: "It must have a lat between -90 and 90 and a lon between -180 and 180."}}
	}
	return nil
}
