package hal

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/goswale/swale/hal/internal/rawjson"
)

// Submit fills in the form of that name and sends it, and returns what the
// server answers as a T. values is anything that Marshal encodes to an object:
// the struct that FormOf described, or a map; in a map, a property with a dot
// in its name may be given flat or nested. Properties that values doesn't
// have keep the value that the form came with.
//
// When the document was read without its forms it is read again with them.
// Values that don't fit are refused with a *Problem like the server's own (422
// with Errors), without a request; its cause is ErrForm. A form that changes
// the document itself is sent with If-Match where the ETag is known, and fails
// with a *Conflict[T] when somebody was faster.
func Submit[T any](ctx context.Context, c *Client, from Linked, name string, values any) (*Resource[T], error) {
	d, err := documentOf(c, from)
	if err != nil {
		return nil, err
	}
	template, ok := d.templates().Get(name)
	etag := ""
	if d.header != nil {
		etag = d.header.Get("Etag")
	}
	if !ok {
		asking := c.With(http.Header{"Accept": {FormsType + ", " + HALType + ";q=0.5"}})
		with, err := Get[Any](ctx, asking, d.url)
		if err != nil {
			return nil, err
		}
		if template, ok = with.Templates().Get(name); !ok {
			return nil, fmt.Errorf("%w: %s has none named %q", ErrForm, d.url, name)
		}
		// If-Match stays what the caller has read: the form is new, their
		// knowledge of the resource isn't.
		if d = with.doc; etag == "" {
			etag = with.ETag
		}
	}
	body, err := template.fill(values)
	if err != nil {
		return nil, err
	}
	to := d.at(template.Target) // an empty reference is the document
	if to.err != nil {
		return nil, fmt.Errorf("%w: %w", ErrForm, to.err)
	}
	if !to.same && !c.allows(to.url) {
		return nil, &LinkError{URL: d.url, Rel: name, Err: fmt.Errorf("%w: %s", ErrHost, to.url.Host)}
	}
	method := strings.ToUpper(template.Method)
	if method == "" {
		method = http.MethodGet
	}
	if method == http.MethodGet {
		u := *to.url
		query := u.Query()
		maps.Copy(query, formValues(body))
		u.RawQuery = query.Encode()
		return Get[T](ctx, c, u.String())
	}
	header := http.Header{"Content-Type": {template.contentType()}}
	if kind, _, _ := mime.ParseMediaType(template.contentType()); kind == "application/x-www-form-urlencoded" {
		body = []byte(formValues(body).Encode())
	}
	if method != http.MethodPost && to.abs == d.url && etag != "" && !strings.HasPrefix(etag, "W/") {
		header.Set("If-Match", etag)
	}
	if method == http.MethodDelete {
		body = nil
		header.Del("Content-Type")
	}
	target := &Resource[T]{URL: to.abs}
	return change(ctx, c, target, method, header, body, func() (*Resource[T], error) { return target, nil })
}

func (t *Template) contentType() string {
	if t.ContentType == "" {
		return JSONType
	}
	return t.ContentType
}

// fill returns the document that the form sends.
func (t *Template) fill(values any) ([]byte, error) {
	given := []byte("{}")
	if values != nil {
		var err error
		if given, err = Marshal(values); err != nil {
			return nil, fmt.Errorf("hal: form: %w", err)
		}
	}
	if rawjson.Kind(given) != '{' {
		return nil, fmt.Errorf("%w: the values must be an object, not %T", ErrForm, values)
	}
	known := make(map[string]bool, len(t.Properties))
	root := newTree()
	for i := range t.Properties {
		p := &t.Properties[i]
		for name := p.Name; ; {
			known[name] = true
			dot := strings.LastIndexByte(name, '.')
			if dot < 0 {
				break
			}
			name = name[:dot]
		}
		value := valueAt(given, p.Name)
		if value == nil && p.Value != nil && !p.Templated {
			var err error
			if value, err = Marshal(p.Value); err != nil {
				return nil, fmt.Errorf("hal: form: %w", err)
			}
		}
		if value != nil {
			root.set(p.Name, value)
		}
	}
	var errs []FieldError
	for name := range rawjson.Members(given) {
		if !known[name] && name != "_links" && name != "_embedded" {
			errs = append(errs, FieldError{Pointer: pointer(name), Detail: "is not in the form"})
		}
	}
	body := root.append(nil)
	if errs = append(errs, t.Validate(body)...); len(errs) > 0 {
		p := invalid(errs)
		p.Err = fmt.Errorf("%w %q", ErrForm, t.Name)
		return nil, p
	}
	return body, nil
}

// tree builds nested objects from names with dots, in order.
type tree struct {
	names    []string
	values   map[string][]byte
	children map[string]*tree
}

func newTree() *tree {
	return &tree{values: map[string][]byte{}, children: map[string]*tree{}}
}

func (t *tree) set(name string, value []byte) {
	outer, inner, nested := strings.Cut(name, ".")
	_, a := t.values[outer]
	_, b := t.children[outer]
	if !a && !b {
		t.names = append(t.names, outer)
	}
	if !nested || inner == "" {
		t.values[outer] = value
		return
	}
	if !b {
		t.children[outer] = newTree()
	}
	t.children[outer].set(inner, value)
}

func (t *tree) append(dst []byte) []byte {
	dst = append(dst, '{')
	for i, name := range t.names {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(rawjson.AppendString(dst, name), ':')
		if child := t.children[name]; child != nil {
			dst = child.append(dst)
		} else {
			dst = append(dst, t.values[name]...)
		}
	}
	return append(dst, '}')
}

// formValues flattens a document for a query or an HTML form.
func formValues(document []byte) url.Values {
	values := make(url.Values)
	var add func(name string, raw []byte)
	add = func(name string, raw []byte) {
		switch rawjson.Kind(raw) {
		case '{':
			for k, v := range rawjson.Members(raw) {
				if name != "" {
					k = name + "." + k
				}
				add(k, v)
			}
		case '[':
			for v := range rawjson.Elements(raw) {
				add(name, v)
			}
		case '"':
			if s, ok := rawjson.Unquote(raw); ok {
				values.Add(name, s)
			}
		case 'n', 0:
		default:
			values.Add(name, string(json.RawMessage(raw)))
		}
	}
	add("", document)
	return values
}
