package hal

import (
	"context"
	"errors"
	"net/http"
	"time"
)

var errTODO = errors.ErrUnsupported

type Link struct {
	Href        string `json:"href"`
	Templated   bool   `json:"templated,omitempty"`
	Type        string `json:"type,omitempty"`
	Deprecation string `json:"deprecation,omitempty"`
	Name        string `json:"name,omitempty"`
	Profile     string `json:"profile,omitempty"`
	Title       string `json:"title,omitempty"`
	Hreflang    string `json:"hreflang,omitempty"`
}

// Many is a relation that is always an array.
type Many []Link

// Links is an ordered, dynamic set of links.
type Links struct{ raw []byte }

func (l *Links) Set(rel string, link Link)     {}
func (l *Links) Add(rel string, links ...Link) {}
func (l Links) Get(rel string) (Link, bool)    { return Link{}, false }
func (l Links) All(rel string) []Link          { return nil }

type FieldError struct {
	Pointer string `json:"pointer,omitempty"`
	Detail  string `json:"detail,omitempty"`
}
type Problem struct {
	Type, Title string
	Status      int
	Detail      string
	Instance    string
	Errors      []FieldError
	Extensions  map[string]any
}

func (p *Problem) Error() string                                     { return p.Title }
func WriteProblem(w http.ResponseWriter, r *http.Request, err error) {}

// Handler turns errors returned by f into problem documents.
func Handler(f func(w http.ResponseWriter, r *http.Request) error) http.Handler { return nil }

type WriteOptions struct {
	ETag         string
	LastModified time.Time
	CacheControl string
	Profile      string
}

func Write(w http.ResponseWriter, r *http.Request, status int, v any, opts *WriteOptions) error {
	return errTODO
}

// ETag is the strong validator Write computes for v.
func ETag(v any) (string, error) { return "", errTODO }

type Conditions struct {
	ETag         string // of the current version; "" = the resource does not exist
	LastModified time.Time
	Require      bool // 428 when an unsafe request has no If-Match or If-None-Match
}

// Check returns a *Problem (412, 428) when an unsafe request must not go ahead.
func Check(r *http.Request, c Conditions) error { return nil }

// Decode reads a request body into T, with limits; errors are *Problem.
func Decode[T any](r *http.Request, opts *DecodeOptions) (T, error) { var v T; return v, errTODO }

// DecodePatch applies the request's merge patch to current.
func DecodePatch[T any](r *http.Request, current T, opts *DecodeOptions) (T, error) {
	return current, errTODO
}

type DecodeOptions struct {
	MaxBytes     int64
	MaxDepth     int
	AllowUnknown bool
}

func MergePatch(doc, patch []byte) ([]byte, error) { return nil, errTODO }
func Marshal(v any) ([]byte, error)                { return nil, errTODO }
func Unmarshal(data []byte, v any) error           { return errTODO }

type ClientOptions struct {
	HTTP         *http.Client
	Header       http.Header
	AllowedHosts []string // hosts links may lead to, beside the linking document's own; "*" any
	MaxBytes     int64
	MaxDepth     int
	MaxRedirects int
	Parallel     int
}
type Client struct{}

func NewClient(opts *ClientOptions) *Client { return &Client{} }

type Resource[T any] struct {
	Value  T
	URL    string
	ETag   string
	Status int
	Header http.Header
}

func (r *Resource[T]) Links() Links     { return Links{} }
func (r *Resource[T]) Location() string { return r.URL }

type Linked interface {
	Links() Links
	Location() string
}
type Var struct{ name string }
type Scalar interface {
	~string | ~bool | ~int | ~int8 | ~int16 | ~int32 | ~int64 | ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64 | ~float32 | ~float64
}

func V[T Scalar](name string, value T) Var        { return Var{name} }
func List[T Scalar](name string, values ...T) Var { return Var{name} }

func Get[T any](ctx context.Context, c *Client, href string) (*Resource[T], error) {
	return nil, errTODO
}
func Follow[T any](ctx context.Context, c *Client, from Linked, rel string, vars ...Var) (*Resource[T], error) {
	return nil, errTODO
}

type Result[T any] struct {
	Resource *Resource[T]
	Err      error
}

func FollowAll[T any](ctx context.Context, c *Client, from Linked, rel string, vars ...Var) []Result[T] {
	return nil
}
func Put[T any](ctx context.Context, c *Client, r *Resource[T], value T) (*Resource[T], error) {
	return nil, errTODO
}
func Patch[T any](ctx context.Context, c *Client, r *Resource[T], patch any) (*Resource[T], error) {
	return nil, errTODO
}
func Post[T any](ctx context.Context, c *Client, href string, body any) (*Resource[T], error) {
	return nil, errTODO
}
func Delete[T any](ctx context.Context, c *Client, r *Resource[T]) error { return errTODO }

// Conflict is the error of a write whose If-Match failed.
type Conflict[T any] struct {
	Current *Resource[T]
	Problem *Problem
}

func (c *Conflict[T]) Error() string { return "hal: conflict" }
