// Package conformance runs the public HTTP cache tests (the npm package
// http-cache-tests) against our cache, as a private cache.
//
//	suite, err := conformance.Install(ctx, "bin/conformance")
//	if err != nil {
//		return err
//	}
//	tests, err := suite.Run(ctx, cache.New(inner, nil))
//	if err != nil {
//		return err
//	}
//	arguments, err := conformance.Arguments()
//	if err != nil {
//		return err
//	}
//	report := conformance.Judge(tests, arguments)
//
// The tests' client talks to a small reverse proxy over the http.RoundTripper
// under test, the proxy to the tests' origin, which counts what reaches it.
//
// # Which tests apply
//
// The tests are for browsers, proxies and CDNs at once. Profile says which of
// them are about a private cache and why the others are not. Tests of the kind
// "check" ask how caches behave where the standard leaves it open; they are not
// counted.
//
// # Arguments
//
// arguments.txt holds what we do not do, one line per test with the reason. A
// required test that fails without an argument fails the run.
package conformance
