package bustest

import (
	"math/rand/v2"
	"net"
	"strconv"
	"testing"
)

// FreePorts returns ports of this machine for servers of tests that come back where
// they were. They are below those that the system gives to whoever connects, of
// which one could be somebody's connection by the time that the server wants it.
func FreePorts(tb testing.TB, n int) []int {
	tb.Helper()
	var ports []int
	for tries := 0; len(ports) < n; tries++ {
		port := 10_000 + rand.IntN(20_000)
		l, err := new(net.ListenConfig).Listen(tb.Context(), "tcp", "127.0.0.1:"+strconv.Itoa(port))
		switch {
		case err == nil:
			defer func() { _ = l.Close() }() // held until all are found
			ports = append(ports, port)
		case tries > 1000:
			tb.Fatal(err)
		}
	}
	return ports
}
