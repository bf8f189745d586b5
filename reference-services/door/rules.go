package door

import (
	"bytes"

	"github.com/goswale/swale/discovery/rules"
)

// Key is where the rules are in the configuration.
const Key = "rules/door"

// Default are the rules while none were written.
const Default = `{"rules":[
	{"id":"restaurants","match":{"path":"/restaurants/*"},"route":{"service":"restaurants"}},
	{"id":"orders","match":{"path":"/orders/*"},"route":{"service":"orders"}},
	{"id":"riders","match":{"path":"/riders/*"},"route":{"service":"riders"}},
	{"id":"storefront","match":{"path":"/*"},"route":{"service":"storefront"}}]}`

// Check says what is wrong with rules, in the words of the parser or of lint.
func Check(text []byte) error {
	set, err := rules.Parse(text)
	if err != nil {
		return err
	}
	_, err = rules.Accept(set)
	return err
}

// document is the rules as the configuration has them.
type document struct{ text []byte }

// SetDefaults begins with the rules that hold where none were written.
func (d *document) SetDefaults() { d.text = []byte(Default) }

// UnmarshalJSON takes the document as it is. An empty one says nothing.
func (d *document) UnmarshalJSON(text []byte) error {
	if !bytes.Equal(bytes.TrimSpace(text), []byte("{}")) {
		d.text = bytes.Clone(text)
	}
	return nil
}

// Validate has the client reject what can't be used.
func (d *document) Validate() error { return Check(d.text) }
