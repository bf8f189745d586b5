//go:build race

package httpbus_test

// largeBody is what a body of 100 MB shrinks to under the race detector, which
// makes every byte some twenty times as dear. It still takes several windows.
const largeBody = 8 << 20
