package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"github.com/goswale/swale/configsvc"
	"github.com/goswale/swale/configsvc/driver"
)

// schemas is the key that schemas are below.
const schemas = "_schemas"

// schemaKeys returns the keys of the schemas that a key obeys.
func schemaKeys(key string) []string {
	keys := []string{schemas}
	for i := range key {
		if key[i] == '/' {
			keys = append(keys, schemas+"/"+key[:i])
		}
	}
	return append(keys, schemas+"/"+key)
}

// noLoader keeps schemas from reading files or asking other hosts.
type noLoader struct{}

func (noLoader) Load(url string) (any, error) {
	return nil, fmt.Errorf("%s isn't in the schema itself; put it into $defs", url)
}

func compileSchema(text []byte) (*jsonschema.Schema, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	c.UseLoader(noLoader{})
	c.AssertFormat()
	const url = "config:///schema"
	if err := c.AddResource(url, doc); err != nil {
		return nil, err
	}
	return c.Compile(url)
}

// checkSchema adds what is wrong with a document by one schema.
func checkSchema(schema *jsonschema.Schema, from, key string, o opened, found *problems) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(o.value.JSON()))
	if err != nil {
		found.add(key, "", "%v", err)
		return
	}
	err = schema.Validate(doc)
	var invalid *jsonschema.ValidationError
	if err == nil {
		return
	}
	if !errors.As(err, &invalid) {
		found.add(key, "", "the schema %s can't be applied: %v", from, err)
		return
	}
	english := message.NewPrinter(language.English)
	var walk func(*jsonschema.ValidationError)
	walk = func(e *jsonschema.ValidationError) {
		if len(e.Causes) == 0 {
			found.add(key, configsvc.Pointer(e.InstanceLocation...), "%s (schema %s)", o.clean(e.ErrorKind.LocalizedString(english)), from)
		}
		for _, cause := range e.Causes {
			walk(cause)
		}
	}
	walk(invalid)
}

// checkSchemas checks the documents of a write by their schemas, of which the
// write may change some.
func (s *Store) checkSchemas(ctx context.Context, p *plan) error {
	wanted := map[string]bool{}
	for _, e := range p.edits {
		if !configsvc.Reserved(e.key) && !e.after.IsZero() {
			for _, key := range schemaKeys(e.key) {
				wanted[key] = true
			}
		}
	}
	compiled := map[string]*jsonschema.Schema{}
	for _, e := range p.edits {
		if !configsvc.Under(schemas, e.key) {
			continue
		}
		delete(wanted, e.key)
		if e.after.IsZero() {
			continue
		}
		schema, err := compileSchema(e.after.JSON())
		if err != nil {
			p.found.add(e.key, "", "is no JSON Schema: %v", err)
			continue
		}
		compiled[e.key] = schema
		if err := s.checkAgainst(ctx, p, e.key, schema); err != nil {
			return err
		}
	}
	stored, err := s.read(ctx, wanted)
	if err != nil {
		return err
	}
	for _, v := range stored {
		if compiled[v.Key], err = compileSchema(v.Value); err != nil {
			return fmt.Errorf("store: the schema %s, as it is stored: %w", v.Key, err)
		}
	}
	for _, e := range p.edits {
		if configsvc.Reserved(e.key) || e.after.IsZero() {
			continue
		}
		for _, key := range schemaKeys(e.key) {
			if schema := compiled[key]; schema != nil {
				checkSchema(schema, key, e.key, e.opened, &p.found)
			}
		}
	}
	return nil
}

func (s *Store) read(ctx context.Context, keys map[string]bool) ([]driver.Version, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	list := make([]string, 0, len(keys))
	for key := range keys {
		list = append(list, key)
	}
	snap, err := s.driver.Read(ctx, list, driver.Latest)
	if err != nil {
		return nil, fmt.Errorf("store: read schemas: %w", err)
	}
	return snap.Versions, nil
}

// checkAgainst checks the documents that are there already, and that the write
// leaves alone, by a new schema.
func (s *Store) checkAgainst(ctx context.Context, p *plan, key string, schema *jsonschema.Schema) error {
	prefix := strings.TrimPrefix(strings.TrimPrefix(key, schemas), "/")
	snap, err := s.all(ctx, prefix, driver.Latest)
	if err != nil {
		return err
	}
	for _, v := range snap.Versions {
		if configsvc.Reserved(v.Key) || p.edit(v.Key) != nil {
			continue
		}
		value, err := s.parse(v)
		if err != nil {
			return err
		}
		o, err := s.open(ctx, value, v.Key)
		if err != nil {
			return err
		}
		checkSchema(schema, key, v.Key, o, &p.found)
	}
	return nil
}

// Schemas returns the schemas that a key obeys, by their keys.
func (s *Store) Schemas(ctx context.Context, key string) (map[string]configsvc.Value, error) {
	if err := configsvc.CheckKey(key); err != nil {
		return nil, err
	}
	if configsvc.Reserved(key) {
		return nil, nil
	}
	snap, err := s.driver.Read(ctx, schemaKeys(key), driver.Latest)
	if err != nil {
		return nil, fmt.Errorf("store: read the schemas of %s: %w", key, err)
	}
	found := make(map[string]configsvc.Value, len(snap.Versions))
	for _, v := range snap.Versions {
		if found[v.Key], err = s.parse(v); err != nil {
			return nil, err
		}
	}
	return found, nil
}
