package hal

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"net/http"
	"slices"
	"strconv"

	"github.com/goswale/swale/hal/internal/rawjson"
)

// ProblemType is the media type of problem documents (RFC 9457).
const ProblemType = "application/problem+json"

// Problem is an error as a problem document (RFC 9457). Servers return it from
// a [Handler]; clients get it back as the error of a call.
//
// As an error it matches fs.ErrNotExist for 404 and 410, fs.ErrPermission for
// 401 and 403, and ErrConflict for 409 and 412.
type Problem struct { //nolint:errname // the name that RFC 9457 gives it
	// Type is a URI that identifies the kind of problem; empty means
	// about:blank, so that Status says it all.
	Type string
	// Title is the same short text for every problem of the type. WriteProblem
	// fills it from Status when both it and Type are empty.
	Title string
	// Status is the HTTP status; WriteProblem takes 0 for 500.
	Status int
	// Detail is about this occurrence.
	Detail string
	// Instance is a URI that identifies this occurrence.
	Instance string
	// Errors says what is wrong with which part of the request.
	Errors []FieldError
	// Extensions are further members of the document.
	Extensions map[string]any
	// Header is sent with the document, and on a client holds the header that
	// came with it. It isn't part of the document.
	Header http.Header
	// Err is the cause. It is found by errors.Is and errors.As and never sent.
	Err error
}

// FieldError says what is wrong with one part of a request.
type FieldError struct {
	// Pointer is a JSON Pointer (RFC 6901) into the request's document, as a
	// URI fragment: #/address/zip.
	Pointer string `json:"pointer,omitempty"`
	// Parameter is the query parameter at fault, where it isn't the document.
	Parameter string `json:"parameter,omitempty"`
	// Detail is a sentence for people.
	Detail string `json:"detail"`
}

// ErrConflict is matched by errors of writes that were refused because the
// resource is no longer what the writer has read. See Conflict.
var ErrConflict = errors.New("hal: the resource has changed")

// NewProblem returns a problem of no particular type.
func NewProblem(status int, detail string) *Problem {
	return &Problem{Status: status, Title: http.StatusText(status), Detail: detail}
}

// Error returns the status, the title and the detail.
func (p *Problem) Error() string {
	b := strconv.AppendInt(nil, int64(p.Status), 10)
	title := p.Title
	if title == "" {
		title = http.StatusText(p.Status)
	}
	if title != "" {
		b = append(append(b, ' '), title...)
	}
	if p.Detail != "" {
		b = append(append(b, ": "...), p.Detail...)
	}
	for i, e := range p.Errors {
		if i == 0 {
			b = append(b, " ("...)
		} else {
			b = append(b, "; "...)
		}
		if where := e.Pointer + e.Parameter; where != "" {
			b = append(append(b, where...), ' ')
		}
		b = append(b, e.Detail...)
		if i == len(p.Errors)-1 {
			b = append(b, ')')
		}
	}
	return string(b)
}

// Unwrap returns the cause.
func (p *Problem) Unwrap() error { return p.Err }

// Is matches the standard sentinels that the status stands for.
func (p *Problem) Is(target error) bool {
	switch p.Status {
	case http.StatusNotFound, http.StatusGone:
		return target == fs.ErrNotExist
	case http.StatusUnauthorized, http.StatusForbidden:
		return target == fs.ErrPermission
	case http.StatusConflict, http.StatusPreconditionFailed:
		return target == ErrConflict
	}
	return false
}

// MarshalJSON writes the members of RFC 9457 section 3.1 first, then the
// extensions in alphabetical order. Extensions can't replace those members.
func (p *Problem) MarshalJSON() ([]byte, error) {
	out := []byte{'{'}
	text := func(name, value string) {
		if value == "" {
			return
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(rawjson.AppendString(out, name), ':')
		out = rawjson.AppendString(out, value)
	}
	value := func(name string, v any) error {
		data, err := Marshal(v)
		if err != nil {
			return err
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(rawjson.AppendString(out, name), ':')
		out = append(out, data...)
		return nil
	}
	text("type", p.Type)
	text("title", p.Title)
	if p.Status != 0 {
		if err := value("status", p.Status); err != nil {
			return nil, err
		}
	}
	text("detail", p.Detail)
	text("instance", p.Instance)
	if len(p.Errors) > 0 {
		if err := value("errors", p.Errors); err != nil {
			return nil, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.Extensions)) {
		switch name {
		case "type", "title", "status", "detail", "instance", "errors":
			continue
		}
		if err := value(name, p.Extensions[name]); err != nil {
			return nil, err
		}
	}
	return append(out, '}'), nil
}

// UnmarshalJSON reads a problem document. As RFC 9457 section 3.1 asks, a
// member of the wrong type is passed over. Extensions hold what
// encoding/json makes of them.
func (p *Problem) UnmarshalJSON(data []byte) error {
	if rawjson.Kind(data) != '{' {
		return errors.New("hal: a problem document is a JSON object")
	}
	*p = Problem{Header: p.Header, Err: p.Err}
	for _, m := range rawjson.List(data) {
		var text *string
		switch m.Key {
		case "type":
			text = &p.Type
		case "title":
			text = &p.Title
		case "detail":
			text = &p.Detail
		case "instance":
			text = &p.Instance
		case "status":
			if n, err := strconv.Atoi(string(m.Value)); err == nil {
				p.Status = n
			}
			continue
		case "errors":
			var list []FieldError
			if json.Unmarshal(m.Value, &list) == nil {
				p.Errors = list
				continue
			}
		}
		if text != nil {
			if s, ok := rawjson.Unquote(m.Value); ok {
				*text = s
			}
			continue
		}
		var v any
		if err := json.Unmarshal(m.Value, &v); err != nil {
			return err
		}
		if p.Extensions == nil {
			p.Extensions = make(map[string]any)
		}
		p.Extensions[m.Key] = v
	}
	return nil
}

// WriteProblem answers with err as a problem document. A *Problem in err's
// tree is sent as it is; any other error is answered with a bare 500, because
// its text may tell strangers too much. HEAD gets no body.
func WriteProblem(w http.ResponseWriter, r *http.Request, err error) {
	var p *Problem
	if found := (Problemer)(nil); errors.As(err, &found) {
		p = found.Problem()
	}
	if p == nil {
		p = &Problem{Status: http.StatusInternalServerError}
	}
	sent := *p
	if sent.Status == 0 {
		sent.Status = http.StatusInternalServerError
	}
	if sent.Title == "" && sent.Type == "" {
		sent.Title = http.StatusText(sent.Status)
	}
	body, merr := sent.MarshalJSON()
	if merr != nil { // an extension that can't be encoded; the rest still can
		sent.Extensions = nil
		body, _ = sent.MarshalJSON()
	}
	h := w.Header()
	for _, name := range []string{"Etag", "Last-Modified", "Cache-Control", "Content-Encoding"} {
		h.Del(name) // meant for the representation that isn't sent
	}
	maps.Copy(h, sent.Header)
	h.Set("Content-Type", ProblemType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(sent.Status)
	if r.Method != http.MethodHead {
		_, _ = bytes.NewReader(body).WriteTo(w)
	}
}

// Problemer is implemented by errors that know their problem document, as
// *Problem does itself.
type Problemer interface {
	error
	Problem() *Problem
}

// Problem returns p.
func (p *Problem) Problem() *Problem { return p }

// Handler is a handler that may fail. The error it returns is answered by
// WriteProblem, so it must not have written anything by then.
type Handler func(w http.ResponseWriter, r *http.Request) error

// ServeHTTP calls h.
func (h Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := h(w, r); err != nil {
		WriteProblem(w, r, err)
	}
}
