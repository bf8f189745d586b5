package hal

// Templates are the forms of a document (HAL-FORMS), by name.
type Templates map[string]Template

// Template is one form.
type Template struct{}

// Validate checks a document.
func (t *Template) Validate(body []byte) []FieldError { return nil }
