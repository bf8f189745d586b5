package hal

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/goswale/swale/hal/internal/rawjson"
)

var errNotObject = errors.New("hal: a HAL document is a JSON object")

// DecodeOptions limit what Decode accepts. The zero value and nil are useful.
type DecodeOptions struct {
	// MaxBytes limits the request's body. Default: 1 MiB.
	MaxBytes int64
	// MaxDepth limits how deep objects and arrays nest. Default: 64.
	MaxDepth int
	// Strict refuses members that the type doesn't have. Default: they are
	// passed over, as HAL clients send back links and whatever else they got.
	Strict bool
	// Template, when given, validates the document before it is decoded, as the
	// client that filled in the form has done. Default: none.
	Template *Template
}

func (o *DecodeOptions) withDefaults() DecodeOptions {
	var d DecodeOptions
	if o != nil {
		d = *o
	}
	if d.MaxBytes <= 0 {
		d.MaxBytes = 1 << 20
	}
	if d.MaxDepth <= 0 {
		d.MaxDepth = 64
	}
	return d
}

// Validator is implemented by types that check themselves once decoded.
type Validator interface {
	// Validate returns what is wrong, or nil.
	Validate() []FieldError
}

// Decode reads the body of a request into a T. Its error is always a
// *Problem: 415 for a body that isn't JSON by its Content-Type, 413 over the
// limit, 400 for bad syntax, 422 for a value of the wrong type, or one that
// the template or T's Validate method refuses.
func Decode[T any](r *http.Request, opts *DecodeOptions) (T, error) {
	var v T
	o := opts.withDefaults()
	body, err := readRequest(r, &o, isJSON)
	if err != nil {
		return v, err
	}
	return decodeInto(body, v, &o)
}

// DecodePatch applies the merge patch (RFC 7396) in the body of a request to
// current and returns the result; current stays as it is. Errors are those of
// Decode, and 415 names the patch format in Accept-Patch (RFC 5789).
func DecodePatch[T any](r *http.Request, current T, opts *DecodeOptions) (T, error) {
	o := opts.withDefaults()
	patch, err := readRequest(r, &o, func(contentType string) bool {
		name, _, _ := mime.ParseMediaType(contentType)
		return name == MergePatchType || name == JSONType || name == HALType
	})
	if err != nil {
		if p := (*Problem)(nil); errors.As(err, &p) && p.Status == http.StatusUnsupportedMediaType {
			p.Header = http.Header{"Accept-Patch": {MergePatchType}}
		}
		return current, err
	}
	if rawjson.Kind(patch) != '{' {
		return current, NewProblem(http.StatusUnprocessableEntity, "A merge patch for a resource is a JSON object.")
	}
	doc, err := Marshal(current)
	if err != nil {
		return current, &Problem{Status: http.StatusInternalServerError, Err: err}
	}
	merged, err := MergePatch(doc, patch)
	if err != nil {
		return current, &Problem{Status: http.StatusBadRequest, Detail: err.Error(), Err: err}
	}
	var v T // from nothing, so that removed members are gone
	v, err = decodeInto(merged, v, &o)
	if err != nil {
		return current, err
	}
	return v, nil
}

func readRequest(r *http.Request, o *DecodeOptions, accept func(string) bool) ([]byte, error) {
	if contentType := r.Header.Get("Content-Type"); !accept(contentType) {
		return nil, &Problem{
			Status: http.StatusUnsupportedMediaType,
			Title:  http.StatusText(http.StatusUnsupportedMediaType),
			Detail: "Send " + HALType + " or " + JSONType + ".",
			Header: http.Header{"Accept-Post": {HALType + ", " + JSONType}},
		}
	}
	if r.Body == nil {
		return nil, NewProblem(http.StatusBadRequest, "The request has no body.")
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, o.MaxBytes+1))
	if err != nil {
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			return nil, NewProblem(http.StatusRequestEntityTooLarge, "")
		}
		return nil, &Problem{Status: http.StatusBadRequest, Detail: "The body could not be read.", Err: err}
	}
	if int64(len(body)) > o.MaxBytes {
		return nil, NewProblem(http.StatusRequestEntityTooLarge, "")
	}
	if !json.Valid(body) {
		return nil, NewProblem(http.StatusBadRequest, "The body is not JSON.")
	}
	if rawjson.TooDeep(body, o.MaxDepth) {
		return nil, NewProblem(http.StatusBadRequest, "The document nests too deep.")
	}
	return bytes.TrimSpace(body), nil
}

func decodeInto[T any](body []byte, v T, o *DecodeOptions) (T, error) {
	if o.Template != nil {
		if errs := o.Template.Validate(body); len(errs) > 0 {
			return v, invalid(errs)
		}
	}
	var err error
	if o.Strict {
		d := json.NewDecoder(bytes.NewReader(body))
		d.DisallowUnknownFields()
		err = d.Decode(&v)
	} else {
		err = Unmarshal(body, &v)
	}
	if err != nil {
		p := &Problem{Status: http.StatusUnprocessableEntity, Title: http.StatusText(http.StatusUnprocessableEntity), Err: err}
		if wrong := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrong) {
			p.Errors = []FieldError{{Pointer: pointer(wrong.Field), Detail: "must not be a JSON " + wrong.Value}}
		} else if field, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
			p.Errors = []FieldError{{Pointer: "#/" + strings.Trim(field, `"`), Detail: "is not known"}}
		} else {
			p.Detail = "A value is not what it should be."
		}
		var zero T
		return zero, p
	}
	if check, ok := any(&v).(Validator); ok {
		if errs := check.Validate(); len(errs) > 0 {
			return v, invalid(errs)
		}
	}
	return v, nil
}

func invalid(errs []FieldError) *Problem {
	return &Problem{
		Status: http.StatusUnprocessableEntity,
		Title:  http.StatusText(http.StatusUnprocessableEntity),
		Errors: errs,
	}
}

// pointer turns encoding/json's dotted path into a JSON Pointer.
func pointer(field string) string {
	if field == "" {
		return "#"
	}
	return "#/" + strings.ReplaceAll(field, ".", "/")
}
