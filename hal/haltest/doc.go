// Package haltest tests HAL APIs: assertions about the links of one document,
// and a crawler that goes through a whole API and reports what is wrong with
// it.
//
//	func TestAPI(t *testing.T) {
//		haltest.Check(t, "http://api.test/", &haltest.Options{
//			Transport: haltest.Serve(newHandler()),
//			Values:    map[string]string{"id": "203"},
//		})
//	}
//
// # What the crawler checks
//
//   - links: every link leads to something, by GET, with a status below 400
//   - self: every document has exactly one self link, which leads to itself
//   - template: every templated link parses, and leads somewhere when Values
//     fill it in; no href with braces pretends not to be a template
//   - shape: _links and _embedded are objects of link objects and documents,
//     and a relation is always one or always an array, wherever it appears
//   - curie: a relation with a prefix has a curies link for it
//   - etag: a document has a strong ETag, and If-None-Match with it gives 304
//   - problem: errors that the crawler meets are problem documents
//
// It stays on the origin where it begins, and asks by GET alone.
package haltest
