package natsbus

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// checkURL refuses what the client would take for something else: it connects to
// a server of this machine where no URL is given, and to the port of any scheme.
// An empty one is all right where the options say how to connect.
func checkURL(list string, otherwise bool) error {
	if list == "" && !otherwise {
		return fmt.Errorf("natsbus: the URL is empty; it is such as nats://127.0.0.1:4222")
	}
	for one := range strings.SplitSeq(list, ",") {
		if err := unparsable(one); err != nil {
			return err
		}
		scheme, _, ok := strings.Cut(strings.TrimSpace(one), "://")
		if !ok {
			continue // a bare host and port
		}
		switch scheme {
		case "nats", "tls", "ws", "wss":
		default:
			return fmt.Errorf("natsbus: the URL %s begins with %s; it must be nats, tls, ws or wss", redacted(one), scheme)
		}
	}
	return nil
}

// unparsable says that a URL can't be parsed, and why where that quotes no part of
// a password.
func unparsable(one string) error {
	_, err := url.Parse(strings.TrimSpace(one))
	switch {
	case err == nil || !strings.Contains(one, "://"):
		return nil
	case strings.Contains(one, "@"):
		return errors.New("natsbus: the URL can't be parsed; is what is no letter or digit in its name and password escaped, as %40 for @?")
	}
	return fmt.Errorf("natsbus: the URL can't be parsed: %w", err)
}

// redacted is a list of URLs without passwords and tokens.
func redacted(list string) string {
	urls := strings.Split(list, ",")
	for i, one := range urls {
		if !strings.ContainsAny(one, "/@") {
			continue // a bare host and port
		}
		u, err := url.Parse(strings.TrimSpace(one))
		switch {
		case err != nil || u.Host == "" && strings.Contains(one, "@"):
			urls[i] = "a URL that can't be parsed"
		case u.User != nil:
			u.User = nil
			urls[i] = u.String()
		}
	}
	return strings.Join(urls, ",")
}
