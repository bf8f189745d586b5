package hal

import (
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/goswale/swale/hal/internal/rawjson"
)

// Resource is a resource that was read: its state as a T, and what HTTP said
// about it.
//
// Resources may be shared between all who read the same stored version, so
// they are immutable: copy Value before you change it, deeply where it has
// slices, maps or pointers. That also makes them safe for concurrent use.
type Resource[T any] struct {
	// Value is the decoded document. Members that T doesn't declare aren't in
	// it, but aren't lost either: see Raw and Put.
	Value T
	// URL is where the document was read, after redirects.
	URL string
	// ETag is its validator, "" when there was none or when the resource was
	// embedded in another.
	ETag string
	// Status is the HTTP status; 0 when the resource was embedded.
	Status int
	// Header is that of the response that was decoded; nil when the resource was
	// embedded. Of a response that a cache has stored it is the header at the
	// time of the first decoding.
	Header http.Header
	// Partial says that the resource was embedded and marked as less than the
	// whole. Put refuses it.
	Partial bool

	doc *document
}

// Any is the type argument for resources of which only the links matter.
type Any struct{}

// Linked is a document whose links can be followed: a *Resource, or whatever
// knows its links and where they are relative to.
type Linked interface {
	// Links returns the links as they are written.
	Links() Links
	// Location returns the absolute URL against which they are resolved.
	Location() string
}

// Links returns the links of the document, declared in T or not.
func (r *Resource[T]) Links() Links {
	if r.doc == nil {
		return Links{}
	}
	raw, _ := rawjson.Lookup(r.doc.raw, "_links")
	if rawjson.Kind(raw) != '{' {
		return Links{}
	}
	return Links{text: raw}
}

// Location returns the URL of the document.
func (r *Resource[T]) Location() string { return r.URL }

// Raw returns the document as it was received. It must not be changed.
func (r *Resource[T]) Raw() []byte {
	if r.doc == nil {
		return nil
	}
	return r.doc.raw
}

// Profiles returns the profiles (RFC 6906) that the document says it follows:
// by the parameter of its Content-Type, by links of the relation profile, or by
// a Link field.
func (r *Resource[T]) Profiles() []string {
	if r.doc == nil {
		return nil
	}
	var profiles []string
	if _, params, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err == nil {
		profiles = append(profiles, strings.Fields(params["profile"])...)
	}
	for _, t := range r.doc.targets("profile") {
		if !slices.Contains(profiles, t.abs) && t.abs != "" {
			profiles = append(profiles, t.abs)
		}
	}
	return profiles
}

func (r *Resource[T]) document() *document { return r.doc }

// missing reports whether r is nil, which a Linked that holds it isn't.
func (r *Resource[T]) missing() bool { return r == nil }

// IsPartial is the default of ClientOptions.Partial: it reports whether an
// embedded resource has the member "_partial": true.
func IsPartial(_ string, resource []byte) bool {
	value, ok := rawjson.Lookup(resource, "_partial")
	return ok && string(value) == "true"
}

// EmbeddedPolicy says when an embedded resource stands for the linked one.
type EmbeddedPolicy int

const (
	// EmbeddedWhole uses embedded resources that aren't marked as partial, and
	// fetches the others.
	EmbeddedWhole EmbeddedPolicy = iota
	// EmbeddedNever always follows the link.
	EmbeddedNever
	// EmbeddedAlways uses partial ones too; Resource.Partial tells.
	EmbeddedAlways
)
