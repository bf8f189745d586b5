package hal

import (
	"encoding"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// FormOf describes a struct as a form. Each exported field is a property under
// its JSON name; structs in it give names with dots; _links, _embedded and
// fields with the tag form:"-" are left out. Tags refine it:
//
//	type NewRestaurant struct {
//		Name    string   `json:"name" prompt:"Name" form:"required,maxlength=80"`
//		Cuisine string   `json:"cuisine" options:"thai|french|other"`
//		Seats   int      `json:"seats" form:"min=1,max=500"`
//		Web     string   `json:"web,omitempty" form:"type=url"`
//		Code    string   `json:"code" pattern:"[A-Z]{3}[0-9]+"`
//		Days    []string `json:"days" options:"mon|tue|wed" form:"minitems=1"`
//	}
//
// form takes required, readonly, hidden, type, min, max, step, minlength,
// maxlength, minitems, maxitems, rows and cols; prompt, placeholder, pattern
// and options are tags of their own, as their text may hold commas. Values
// of v that aren't zero become the values to begin with.
//
// It panics when v isn't a struct or a pointer to one, or a tag is misspelt:
// call it once, when the service starts. The template and Decode with
// DecodeOptions.Template then agree on what is valid.
func FormOf(name, method string, v any) Template {
	value := reflect.ValueOf(v)
	for value.Kind() == reflect.Pointer {
		value = value.Elem()
	}
	if value.Kind() != reflect.Struct {
		panic(fmt.Sprintf("hal: FormOf: %T is not a struct", v)) //nolint:forbidigo // programmer error
	}
	t := Template{Name: name, Method: method}
	addProperties(&t, "", value)
	return t
}

var timeType = reflect.TypeFor[time.Time]()

func addProperties(t *Template, prefix string, value reflect.Value) {
	for i := range value.NumField() {
		field, v := value.Type().Field(i), value.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "-" || name == "_links" || name == "_embedded" || field.Tag.Get("form") == "-" {
			continue
		}
		ft := field.Type
		for ft.Kind() == reflect.Pointer {
			ft = ft.Elem()
			if v.IsValid() && !v.IsNil() {
				v = v.Elem()
			} else {
				v = reflect.Zero(ft)
			}
		}
		if field.Anonymous && name == "" && ft.Kind() == reflect.Struct {
			addProperties(t, prefix, v)
			continue
		}
		if !field.IsExported() {
			continue
		}
		if name == "" {
			name = field.Name
		}
		nested := ft.Kind() == reflect.Struct && ft != timeType && !reflect.PointerTo(ft).Implements(reflect.TypeFor[encoding.TextMarshaler]())
		if nested {
			addProperties(t, prefix+name+".", v)
			continue
		}
		p := Property{Name: prefix + name, Type: inputType(ft)}
		if v.IsValid() && !v.IsZero() {
			p.Value = v.Interface()
		}
		p.Prompt, p.Placeholder = field.Tag.Get("prompt"), field.Tag.Get("placeholder")
		p.Regex = field.Tag.Get("pattern")
		if list := field.Tag.Get("options"); list != "" {
			p.options(ft)
			for option := range strings.SplitSeq(list, "|") {
				p.Options.Inline = append(p.Options.Inline, option)
			}
		}
		for part := range strings.SplitSeq(field.Tag.Get("form"), ",") {
			if err := p.refine(strings.TrimSpace(part), ft); err != nil {
				panic(fmt.Sprintf("hal: FormOf: field %s: %v", field.Name, err)) //nolint:forbidigo // programmer error
			}
		}
		t.Properties = append(t.Properties, p)
	}
}

func inputType(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "checkbox"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64,
		reflect.Float32, reflect.Float64:
		return "number"
	}
	return "text"
}

func (p *Property) options(t reflect.Type) {
	if p.Options == nil {
		p.Options = &Options{}
		if t.Kind() != reflect.Slice {
			p.Options.MaxItems = 1
		}
	}
}

// refine applies one part of a form tag.
func (p *Property) refine(part string, t reflect.Type) error {
	key, value, _ := strings.Cut(part, "=")
	var err error
	number := func(f **float64) {
		var n float64
		n, err = strconv.ParseFloat(value, 64)
		*f = &n
	}
	whole := func(n *int) { *n, err = strconv.Atoi(value) }
	switch key {
	case "":
	case "required":
		p.Required = true
	case "readonly":
		p.ReadOnly = true
	case "hidden":
		p.Type = "hidden"
	case "type":
		p.Type = value
	case "min":
		number(&p.Min)
	case "max":
		number(&p.Max)
	case "step":
		p.Step, err = strconv.ParseFloat(value, 64)
	case "minlength":
		whole(&p.MinLength)
	case "maxlength":
		whole(&p.MaxLength)
	case "minitems":
		p.options(t)
		whole(&p.Options.MinItems)
	case "maxitems":
		p.options(t)
		whole(&p.Options.MaxItems)
	case "rows":
		whole(&p.Rows)
	case "cols":
		whole(&p.Cols)
	default:
		return fmt.Errorf("form:%q is not known", part)
	}
	return err
}
