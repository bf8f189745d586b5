// Package cache is a private HTTP cache (RFC 9111) that is an
// [http.RoundTripper], and that can be kept coherent by change notices.
package cache
