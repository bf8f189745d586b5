// Package rules decides what becomes of a request: which service and version
// answers it, whether it is throttled, deprecated, answered on the spot or
// copied elsewhere. The thin API and the version bindings share it. Rules are
// data; the most specific one wins, as in CSS.
//
//	set, err := rules.Parse([]byte(`{"rules": [
//		{"id": "points", "match": {"path": "/v1/point/*"}, "route": {"service": "points"}},
//		{"id": "points-london", "match": {"path": "/v1/point/*", "region": ["LON", "DUB"],
//			"proportion": {"percent": 50, "by": "attr:customer"}},
//			"route": {"service": "points", "versions": [{"version": "v2", "weight": 1}]}}
//	]}`))
//	engine, err := rules.Accept(set) // valid, and nothing for Lint to say
//	decision := engine.Decide(&rules.Request{Method: "GET", Path: "/v1/point/7", …})
//
// # Matching
//
// A rule matches when everything that its Match names holds. A path pattern
// is compared segment by segment: "/v1/point" is that path alone, "{name}" is
// any one segment, and "/v1/point/*" is the path and all below it, never
// /v1/points. Segments are compared unescaped, so an escaped slash stays in
// its segment. A field that occurs more than once counts as its values joined
// by ", " (RFC 9110 section 5.2).
//
// # Who wins
//
// A rule does up to four things: answer (route or respond), throttle,
// deprecate, shadow. Each is decided apart, by the first rule that matches and
// does it, in the order of [Specificity], compared column by column:
//
//  1. priority, the higher first (0 unless set)
//  2. labels that the host names
//  3. segments that the path writes out
//  4. segments that the path has as {name}
//  5. whether the path ends where the pattern ends
//  6. conditions that name values: methods, region, source, header, query,
//     cookie, attribute
//  7. conditions on presence, absence or a prefix
//  8. bits of the widest client network
//  9. the proportion, the smaller first
//  10. the id, in byte order
//
// A column never carries into the one before it. Of a list the least specific
// member counts. Since ids differ, no two rules are equal, and the order in
// which rules are stored or sent decides nothing.
//
// # Cohorts
//
// A proportion takes those whose key, hashed with a salt, falls below it. The
// salt is the rule's id unless one is given, so that experiments don't share
// their cohorts, and a cohort that grows keeps its members. Without a key
// nobody is taken. The hash is [Cohort], which other languages can repeat; it
// is no secret.
//
// # Trust
//
// A rule may look at a header, a query parameter or a cookie only if the set
// says in Trust who is believed about it: "client", everybody, or "proxy",
// those proxies that the server trusts. What a "proxy" input says is not seen
// in anyone else's request. Attributes come from the server's own code (a
// verified token, the listener); Derive makes one of a header, with that
// header's trust.
//
// # Cost
//
// [Compile] makes an index: by host, then path, then by the condition that
// tells most rules of that path apart, so a decision costs the same with ten
// rules as with ten thousand and allocates nothing. Rules of one path that
// differ only by presence, prefix, absence or proportion are compared one
// after another.
package rules
