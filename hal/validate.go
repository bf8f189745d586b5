package hal

import (
	"encoding/json"
	"math"
	"net/mail"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/goswale/swale/hal/internal/rawjson"
)

// Validate returns what is wrong with a document by the template: required
// members, lengths, ranges, patterns, types and options. Clients and servers
// run the same code, so what Submit lets through Decode doesn't refuse.
// Read-only properties, members that the template doesn't mention and options
// behind a link aren't looked at. A regex that Go's regexp doesn't know is no
// constraint.
func (t *Template) Validate(document []byte) []FieldError {
	var errs []FieldError
	for i := range t.Properties {
		p := &t.Properties[i]
		if p.ReadOnly {
			continue
		}
		if detail := p.check(valueAt(document, p.Name)); detail != "" {
			errs = append(errs, FieldError{Pointer: pointer(p.Name), Detail: detail})
		}
	}
	return errs
}

// valueAt finds a property: a member of its name, dots and all, or else one
// level deeper for each dot.
func valueAt(document []byte, name string) []byte {
	if v, ok := rawjson.Lookup(document, name); ok {
		return v
	}
	outer, inner, ok := strings.Cut(name, ".")
	if !ok {
		return nil
	}
	if v, found := rawjson.Lookup(document, outer); found {
		return valueAt(v, inner)
	}
	return nil
}

// check returns a sentence about what is wrong with a value, or "".
func (p *Property) check(raw []byte) string {
	kind := rawjson.Kind(raw)
	if kind == 0 || kind == 'n' || string(raw) == `""` {
		if p.Required || p.Options != nil && p.Options.MinItems > 0 {
			return "is required"
		}
		return ""
	}
	if kind == '[' {
		return p.checkList(raw)
	}
	if detail := p.checkOption(raw); detail != "" {
		return detail
	}
	switch kind {
	case '"':
		s, ok := rawjson.Unquote(raw)
		if !ok {
			return "is not a text"
		}
		return p.checkText(s)
	case 't', 'f':
		if p.Type == "number" || p.Type == "range" {
			return "must be a number"
		}
		return ""
	case '{':
		return "must not be an object"
	}
	n, err := strconv.ParseFloat(string(raw), 64)
	if err != nil {
		return "is not a number"
	}
	return p.checkNumber(n)
}

func (p *Property) checkList(raw []byte) string {
	n := 0
	for element := range rawjson.Elements(raw) {
		n++
		if detail := p.checkOption(element); detail != "" {
			return detail
		}
	}
	o := p.Options
	switch {
	case n == 0 && p.Required:
		return "is required"
	case o == nil:
		return ""
	case n < o.MinItems:
		return "needs at least " + strconv.Itoa(o.MinItems)
	case o.MaxItems > 0 && n > o.MaxItems:
		return "takes at most " + strconv.Itoa(o.MaxItems)
	}
	return ""
}

func (p *Property) checkOption(raw []byte) string {
	if p.Options == nil || len(p.Options.Inline) == 0 {
		return ""
	}
	var v any
	if json.Unmarshal(raw, &v) != nil {
		return "is not one of the options"
	}
	if slices.Contains(p.Options.values(), plainText(v)) {
		return ""
	}
	return "is not one of the options"
}

// values returns the inline options as texts.
func (o *Options) values() []string {
	field := o.ValueField
	if field == "" {
		field = "value"
	}
	var values []string
	for _, option := range o.Inline {
		if m, ok := option.(map[string]any); ok {
			option = m[field]
		}
		values = append(values, plainText(option))
	}
	return values
}

// plainText is how a form field shows a value.
func plainText(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	data, err := Marshal(v)
	if err != nil {
		return ""
	}
	return strings.Trim(string(data), `"`)
}

func (p *Property) checkText(s string) string {
	length := utf8.RuneCountInString(s)
	switch {
	case p.MinLength > 0 && length < p.MinLength:
		return "must have at least " + strconv.Itoa(p.MinLength) + " characters"
	case p.MaxLength > 0 && length > p.MaxLength:
		return "must have at most " + strconv.Itoa(p.MaxLength) + " characters"
	}
	if p.Regex != "" {
		re, err := regexp.Compile("^(?:" + p.Regex + ")$")
		if err == nil && !re.MatchString(s) {
			return "does not match " + p.Regex
		}
	}
	var err error
	what := ""
	switch p.Type {
	case "number", "range":
		n, nerr := strconv.ParseFloat(s, 64)
		if nerr == nil {
			return p.checkNumber(n)
		}
		err, what = nerr, "a number"
	case "email":
		var a *mail.Address
		if a, err = mail.ParseAddress(s); err == nil && a.Address != s {
			return "must be an e-mail address"
		}
		what = "an e-mail address"
	case "url":
		var u *url.URL
		if u, err = url.Parse(s); err == nil && !u.IsAbs() {
			return "must be an absolute URL"
		}
		what = "an absolute URL"
	case "date":
		_, err = time.Parse(time.DateOnly, s)
		what = "a date like 2026-11-21"
	case "time":
		if _, err = time.Parse("15:04", s); err != nil {
			_, err = time.Parse(time.TimeOnly, s)
		}
		what = "a time like 09:25"
	case "month":
		_, err = time.Parse("2006-01", s)
		what = "a month like 2026-11"
	}
	if err != nil {
		return "must be " + what
	}
	return ""
}

func (p *Property) checkNumber(n float64) string {
	format := func(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
	switch {
	case p.Min != nil && n < *p.Min:
		return "must be at least " + format(*p.Min)
	case p.Max != nil && n > *p.Max:
		return "must be at most " + format(*p.Max)
	}
	if p.Step > 0 {
		from := 0.0
		if p.Min != nil {
			from = *p.Min
		}
		steps := (n - from) / p.Step
		if math.Abs(steps-math.Round(steps)) > 1e-6 {
			return "must be in steps of " + format(p.Step)
		}
	}
	return ""
}
