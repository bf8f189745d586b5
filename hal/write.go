package hal

import (
	"cmp"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// WriteOptions are what Write can be told about a representation. The zero
// value and nil are useful.
type WriteOptions struct {
	// ETag is the strong validator of the version; quotes are added where they
	// are missing. Default: the ETag field that the handler has set already, or
	// a hash of the document. A notice of a change (package resn) names the same.
	ETag string
	// LastModified adds Last-Modified. Default: none.
	LastModified time.Time
	// CacheControl is the Cache-Control field. Default: what the handler has
	// set already, or none.
	CacheControl string
	// CacheGroups are the groups that caches keep the representation in (RFC
	// 9875), such as the paths of the resources that it embeds. Default: none.
	CacheGroups []string
	// Profile is a URI (RFC 6906), sent as the parameter of Content-Type and as
	// a Link. Default: none.
	Profile string
	// Templates are the forms of the resource (HAL-FORMS), sent to clients that
	// ask for application/prs.hal-forms+json. Default: none, and that media type
	// isn't offered.
	Templates Templates
	// LinkHeader also sends the links of the document that aren't templated as
	// Link fields (RFC 8288). Default: off.
	LinkHeader bool
}

// Write answers a request with v as a HAL document.
//
// It negotiates application/hal+json (the default),
// application/prs.hal-forms+json where there are templates, and
// application/json; sends a strong ETag and Vary: Accept; answers 304 or 412
// to GET and HEAD as RFC 9110 section 13 says; and leaves out the body for
// HEAD.
//
// It returns a *Problem, having written nothing, when no offered media type is
// acceptable or the condition fails, and another error when v can't be encoded
// or the connection broke; a [Handler] does the right thing with each.
func Write(w http.ResponseWriter, r *http.Request, status int, v any, opts *WriteOptions) error {
	if opts == nil {
		opts = &WriteOptions{}
	}
	mediaType := HALType
	if accept := r.Header["Accept"]; len(accept) > 0 {
		if opts.Templates == nil {
			mediaType = Negotiate(accept, HALType, JSONType)
		} else {
			mediaType = Negotiate(accept, HALType, FormsType, JSONType)
		}
	}
	h := w.Header()
	if !varies(h, "Accept") {
		h.Add("Vary", "Accept")
	}
	if mediaType == "" {
		p := NewProblem(http.StatusNotAcceptable, "Ask for "+HALType+" or "+JSONType+".")
		return p
	}
	e := encoders.Get().(*encoder)
	defer e.release()
	body, err := e.encode(v, false)
	if err != nil {
		return err
	}
	tag := quoted(cmp.Or(opts.ETag, h.Get("Etag")))
	if tag == "" {
		tag = hashTag(body)
	}
	switch mediaType {
	case JSONType:
		tag = variantTag(tag, "json")
	case FormsType:
		var forms []byte
		if body, forms, err = withTemplates(body, opts.Templates); err != nil {
			return err
		}
		tag = variantTag(tag, strings.Trim(hashTag(forms), `"`))
	}
	read := r.Method == http.MethodGet || r.Method == http.MethodHead
	if read && status == http.StatusOK {
		if match := r.Header["If-Match"]; len(match) > 0 {
			if err := Check(r, Conditions{ETag: tag, LastModified: opts.LastModified}); err != nil {
				return err
			}
		}
		if notModified(r, tag, opts.LastModified) {
			status = http.StatusNotModified
		}
	}
	h["Etag"] = []string{tag}
	if !opts.LastModified.IsZero() {
		h.Set("Last-Modified", opts.LastModified.UTC().Format(http.TimeFormat))
	}
	if opts.CacheControl != "" {
		h.Set("Cache-Control", opts.CacheControl)
	}
	if len(opts.CacheGroups) > 0 {
		h.Set("Cache-Groups", cacheGroups(opts.CacheGroups))
	}
	if status == http.StatusNotModified {
		w.WriteHeader(status)
		return nil
	}
	if opts.Profile != "" {
		h.Add("Link", "<"+opts.Profile+`>; rel="profile"`)
		mediaType += `; profile="` + strings.ReplaceAll(opts.Profile, `"`, "%22") + `"`
	}
	if opts.LinkHeader {
		addLinkHeader(h, body)
	}
	h["Content-Type"] = []string{mediaType}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	if r.Method == http.MethodHead {
		return nil
	}
	_, err = w.Write(body)
	return err
}

// cacheGroups writes a list of strings as a structured field (RFC 9651), which
// has printable ASCII only.
func cacheGroups(groups []string) string {
	var b strings.Builder
	for i, g := range groups {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteByte('"')
		for _, r := range g {
			if unprintable(r) {
				continue
			}
			if r == '"' || r == '\\' {
				b.WriteByte('\\')
			}
			b.WriteRune(r)
		}
		b.WriteByte('"')
	}
	return b.String()
}

// varies reports whether the response varies by the field already.
func varies(h http.Header, field string) bool {
	for _, value := range h["Vary"] {
		for name := range strings.SplitSeq(value, ",") {
			if name = strings.TrimSpace(name); strings.EqualFold(name, field) || name == "*" {
				return true
			}
		}
	}
	return false
}

// withTemplates adds _templates as the last member of a document.
func withTemplates(body []byte, t Templates) (doc, forms []byte, err error) {
	if len(body) < 2 || body[len(body)-1] != '}' {
		return nil, nil, errNotObject
	}
	forms, err = Marshal(t)
	if err != nil {
		return nil, nil, err
	}
	doc = make([]byte, 0, len(body)+len(forms)+16)
	doc = append(doc, body[:len(body)-1]...)
	if len(body) > 2 {
		doc = append(doc, ',')
	}
	doc = append(doc, `"_templates":`...)
	doc = append(doc, forms...)
	return append(doc, '}'), forms, nil
}
