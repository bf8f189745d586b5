//go:build !race

package httpbus_test

// largeBody is the size of the largest body that is sent.
const largeBody = 100 << 20
