package natsdiscovery

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// checkURL refuses what the client would take for something else: it connects to
// a server of this machine where no URL is given, and to the port of any scheme.
// An empty one is all right where the options say how to connect. No error quotes
// what may be a password.
func checkURL(list string, otherwise bool) error {
	if list == "" && !otherwise {
		return errors.New("natsdiscovery: the URL is empty; it is such as nats://127.0.0.1:4222")
	}
	for one := range strings.SplitSeq(list, ",") {
		one = strings.TrimSpace(one)
		scheme, _, ok := strings.Cut(one, "://")
		if !ok {
			continue // a bare host and port
		}
		if _, err := url.Parse(one); err != nil && strings.Contains(one, "@") {
			return errors.New("natsdiscovery: the URL can't be parsed; is what is no letter or digit in its name and password escaped, as %40 for @?")
		}
		switch scheme {
		case "nats", "tls", "ws", "wss":
		default:
			return fmt.Errorf("natsdiscovery: the URL begins with %s; it must be nats, tls, ws or wss", scheme)
		}
	}
	return nil
}
