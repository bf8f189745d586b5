package hal

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"sync"

	"github.com/goswale/swale/hal/internal/rawjson"
)

// encoder keeps a json.Encoder and what it has written between calls.
type encoder struct {
	enc  *json.Encoder
	out  []byte
	keep bool // out goes to the caller, so it is made anew
}

var encoders = sync.Pool{New: func() any {
	e := new(encoder)
	e.enc = json.NewEncoder(e)
	e.enc.SetEscapeHTML(false) // "?a=1&b=2" stays readable; JSON needs no more
	return e
}}

var newline = []byte{'\n'}

// maxPooled keeps one huge document from pinning its buffer for ever.
const maxPooled = 1 << 20

// Write takes what encoding/json hands over, which is all of the document.
func (e *encoder) Write(p []byte) (int, error) {
	e.out = append(e.out, p...)
	return len(p), nil
}

func (e *encoder) release() {
	if e.keep || cap(e.out) > maxPooled {
		e.out = nil
	}
	encoders.Put(e)
}

// encode returns the document of v, valid until release unless keep is set.
func (e *encoder) encode(v any, keep bool) ([]byte, error) {
	if e.keep = keep; keep {
		e.out = nil
	}
	e.out = e.out[:0]
	if err := e.enc.Encode(v); err != nil {
		return nil, err
	}
	e.out = bytes.TrimSuffix(e.out, newline)
	if rawjson.MayHaveNull(e.out) {
		return emptyForNull(e.out, reflect.TypeOf(v)), nil
	}
	return e.out, nil
}

// Marshal encodes v as Write does: by encoding/json, but leaving <, > and &
// as they are and writing a nil slice as [], so that a collection with
// nothing in it is still a collection. Slices reached through interfaces and
// through types with a MarshalJSON of their own are left to those.
func Marshal(v any) ([]byte, error) {
	e := encoders.Get().(*encoder)
	defer e.release()
	return e.encode(v, true)
}

// Unmarshal decodes data into v by encoding/json. Where that fails because a
// relation in _links or _embedded holds one object and the type declares many,
// or the other way round, the document is brought into the declared shape and
// decoded again. Documents that are shaped as declared pay nothing for it.
func Unmarshal(data []byte, v any) error {
	err := json.Unmarshal(data, v)
	if err == nil {
		return nil
	}
	if wrong := (*json.UnmarshalTypeError)(nil); !errors.As(err, &wrong) {
		return err
	}
	t := reflect.TypeOf(v)
	if t == nil || t.Kind() != reflect.Pointer {
		return err
	}
	if shaped, changed := oneOrMany(data, t.Elem()); changed {
		return json.Unmarshal(shaped, v)
	}
	return err
}
