package hal

import (
	"encoding/json"
	"errors"

	"github.com/goswale/swale/hal/internal/rawjson"
)

// Templates are the forms of a document in their order: its _templates
// (HAL-FORMS). A document's only form is called "default".
type Templates []Template

// Template is one form: what a client may send where. Servers make one with
// FormOf; clients find those of a document with Resource.Templates and fill
// them in with Submit.
type Template struct {
	// Name is the key of the template in _templates.
	Name string `json:"-"`
	// Title labels the form for people.
	Title string `json:"title,omitempty"`
	// Method is the HTTP method. Default: GET.
	Method string `json:"method,omitempty"`
	// ContentType is how the values are sent. Default: application/json.
	ContentType string `json:"contentType,omitempty"`
	// Target is where they are sent. Default: the document itself.
	Target string `json:"target,omitempty"`
	// Properties are the fields.
	Properties []Property `json:"properties,omitempty"`
}

// Property is one field of a form. A name with dots ("address.zip") is a
// member of a nested object.
type Property struct {
	Name        string   `json:"name"`
	Prompt      string   `json:"prompt,omitempty"`
	Type        string   `json:"type,omitempty"` // of HTML's input, or textarea; default text
	Required    bool     `json:"required,omitempty"`
	ReadOnly    bool     `json:"readOnly,omitempty"`
	Value       any      `json:"value,omitempty"`
	Placeholder string   `json:"placeholder,omitempty"`
	Regex       string   `json:"regex,omitempty"` // must match the whole value
	Min         *float64 `json:"min,omitempty"`
	Max         *float64 `json:"max,omitempty"`
	Step        float64  `json:"step,omitempty"`
	MinLength   int      `json:"minLength,omitempty"` // in characters
	MaxLength   int      `json:"maxLength,omitempty"`
	Rows        int      `json:"rows,omitempty"`
	Cols        int      `json:"cols,omitempty"`
	Templated   bool     `json:"templated,omitempty"` // Value is a URI template
	Options     *Options `json:"options,omitempty"`
}

// Options are the values that a property may have.
type Options struct {
	// Inline lists them: texts, or objects with a prompt and a value.
	Inline []any `json:"inline,omitempty"`
	// Link leads to such a list.
	Link *Link `json:"link,omitempty"`
	// MinItems and MaxItems say how many may be chosen. Choosing one gives a
	// value, being able to choose more gives an array. Default: 0 and, where
	// the value is an array, no limit.
	MinItems int `json:"minItems,omitempty"`
	MaxItems int `json:"maxItems,omitempty"`
	// PromptField and ValueField name the members of the objects. Default:
	// prompt and value.
	PromptField string `json:"promptField,omitempty"`
	ValueField  string `json:"valueField,omitempty"`
	// SelectedValues are chosen to begin with.
	SelectedValues []any `json:"selectedValues,omitempty"`
}

// ErrForm is returned by Submit when a document has no template of a name, and
// is the cause of the *Problem with which it refuses values that don't fit.
var ErrForm = errors.New("hal: form")

// Get returns the template of that name.
func (t Templates) Get(name string) (*Template, bool) {
	for i := range t {
		if t[i].Name == name {
			return &t[i], true
		}
	}
	return nil, false
}

// MarshalJSON writes the _templates object in the order of the slice.
func (t Templates) MarshalJSON() ([]byte, error) {
	out := []byte{'{'}
	for i := range t {
		if i > 0 {
			out = append(out, ',')
		}
		name := t[i].Name
		if name == "" {
			name = "default"
		}
		body, err := Marshal(&t[i])
		if err != nil {
			return nil, err
		}
		out = append(rawjson.AppendString(out, name), ':')
		out = append(out, body...)
	}
	return append(out, '}'), nil
}

// UnmarshalJSON reads a _templates object, keeping its order. A template that
// isn't shaped like one is passed over.
func (t *Templates) UnmarshalJSON(data []byte) error {
	*t = nil
	for _, m := range rawjson.List(data) {
		var one Template
		if json.Unmarshal(m.Value, &one) != nil {
			continue
		}
		one.Name = m.Key
		*t = append(*t, one)
	}
	return nil
}

// Templates returns the forms of the document. Servers send them to clients
// that ask for application/prs.hal-forms+json; Submit does so by itself.
func (r *Resource[T]) Templates() Templates {
	if r.doc == nil {
		return nil
	}
	return r.doc.templates()
}

func (d *document) templates() Templates {
	raw, ok := rawjson.Lookup(d.raw, "_templates")
	if !ok {
		return nil
	}
	var t Templates
	if t.UnmarshalJSON(raw) != nil {
		return nil
	}
	return t
}
