// Package hal reads and writes HAL (draft-kelly-json-hal): JSON documents that
// say by links what can be done next. It has both sides, on net/http, without
// a framework.
//
// Documents are plain structs with a field for links:
//
//	type Restaurant struct {
//		Links struct {
//			Self hal.Link `json:"self"`
//			Menu hal.Link `json:"menu,omitzero"`
//			Tags hal.Many `json:"tag"`
//		} `json:"_links"`
//		Name string `json:"name"`
//	}
//
// A server writes them; a client follows them:
//
//	mux.Handle("GET /restaurants/{id}", hal.Handler(func(w http.ResponseWriter, r *http.Request) error {
//		restaurant, err := find(r.PathValue("id"))
//		if err != nil {
//			return hal.NewProblem(http.StatusNotFound, "There is no such restaurant.")
//		}
//		return hal.Write(w, r, http.StatusOK, restaurant, nil)
//	}))
//
//	client := hal.NewClient(nil)
//	root, err := hal.Get[hal.Any](ctx, client, "https://api.example/")
//	found, err := hal.Follow[Restaurant](ctx, client, root, "restaurant", hal.V("id", 203))
//
// # Relations
//
// A relation declared as [Link] is always one link, one declared as [Many]
// always an array, [] when it is empty. Documents from others that do it the
// other way round are read all the same. Relations that are only known at run
// time go into [Links], which keeps order and unknown properties. What a type
// doesn't declare isn't lost: a [Resource] keeps its document, Links finds
// every relation, and Put sends unknown members back as they came. Relations
// may be written as CURIEs or in full, on both sides.
//
// # Writing representations
//
// [Write] negotiates the media type, sends a strong ETag and answers
// conditional GETs. [Check] evaluates the conditions of writes: 412 for a lost
// race, 428 for a write without a condition. [Decode] and [DecodePatch] read
// requests within limits. Errors are problem documents (RFC 9457): return a
// [*Problem] from a [Handler].
//
// # Following links
//
// [Follow] takes one link, expanding its template; [FollowAll] takes all of a
// relation, in parallel; [Pages] and [Each] go through collections; [Path]
// goes from the root by relations. Embedded resources are used when they are
// whole, and fetched when the server marks them as partial ("_partial": true).
// Links and redirects lead only to the document's own origin and to
// ClientOptions.AllowedHosts; sizes, nesting and redirects are limited.
//
// # Changing resources
//
// [Put], [Patch] and [Delete] send If-Match with what was read. When somebody
// was faster, the error is a [*Conflict] that carries the current version.
// [Submit] fills in a form of the document (HAL-FORMS) by name; [FormOf] makes
// one of a struct, and both sides validate by the same code.
//
// # Errors
//
// A response from 400 on is a *Problem; errors.Is matches fs.ErrNotExist,
// fs.ErrPermission and ErrConflict by its status. A link that can't be
// followed is a *LinkError with one of this package's Err variables as cause.
// Other errors are those of net/http and encoding/json, wrapped.
//
// # Caches
//
// When the client's transport keeps decoded values beside what it stores, as
// the cache of this collection does, a resource is decoded once per stored
// version and shared by everybody who reads it as the same type. Therefore a
// *Resource is immutable. Nothing else changes; any http.RoundTripper will do.
package hal
