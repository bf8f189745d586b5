package kernel

import (
	"net"
	"net/http"
	"net/netip"

	"github.com/goswale/swale/hal"
)

// The two who come.
const (
	developer = "developer" // from this machine
	anonymous = "anonymous" // from elsewhere
)

var errRemote = hal.NewProblem(http.StatusForbidden, "Only programs on the kernel's own machine may do that.")

func who(r *http.Request) string {
	if isLocal(r) {
		return developer
	}
	return anonymous
}

// isLocal reports whether a request comes from this machine.
func isLocal(r *http.Request) bool {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && from.Addr().Unmap().IsLoopback()
}

// guarded refuses what a page of another site has a browser on this machine
// send: by what the browser says of the request's origin, and by the name that
// it asked for, which a page can have pointed at this machine.
func guarded(next http.Handler) http.Handler {
	cross := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := cross.Check(r); err != nil {
			hal.WriteProblem(w, r, hal.NewProblem(http.StatusForbidden, "The request comes from a page of another site."))
			return
		}
		if isLocal(r) && !localName(r.Host) {
			hal.WriteProblem(w, r, hal.NewProblem(http.StatusMisdirectedRequest, "The kernel isn't called that: ask for it by its address, or as localhost."))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// localName reports whether a name can't be somebody else's.
func localName(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	if host == "localhost" {
		return true
	}
	_, err = netip.ParseAddr(host)
	return err == nil
}
