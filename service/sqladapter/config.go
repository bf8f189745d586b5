package sqladapter

import (
	"errors"
	"net/url"

	"github.com/goswale/swale/configsvc"
)

// Config is what the configuration says about a database. As JSON:
//
//	{
//		"url": "postgres://db.example:5432/orders?sslmode=verify-full",
//		"user": "orders",
//		"password": {"$secret": "…"},
//		"maxOpen": 20
//	}
type Config struct {
	// URL is the server and the database, without the password.
	URL string `json:"url" check:"required"`
	// User and Password are the credentials. Default: what the URL and the driver
	// say.
	User     string               `json:"user"`
	Password configsvc.SecretText `json:"password"`

	// MaxOpen bounds the connections, those that are still used for an earlier
	// configuration included. Default 10.
	MaxOpen int `json:"maxOpen" default:"10" check:"min=1,max=10000"`
	// MaxIdle is how many of them are kept while nobody uses them. Default, and 0:
	// as many as MaxOpen.
	MaxIdle int `json:"maxIdle" check:"min=0,max=10000"`
	// MaxIdleTime and MaxLifetime close a connection that wasn't used for that long,
	// or is that old. Default 5m and 1h, 0s for never.
	MaxIdleTime configsvc.Duration `json:"maxIdleTime" default:"5m" check:"min=0s"`
	MaxLifetime configsvc.Duration `json:"maxLifetime" default:"1h" check:"min=0s"`

	// ConnectTimeout bounds the opening of a connection. Default 5s.
	ConnectTimeout configsvc.Duration `json:"connectTimeout" default:"5s" check:"min=10ms"`
	// StatementTimeout is after how long the server is to give up a statement,
	// where the Connector knows how to ask for it. Default: never.
	StatementTimeout configsvc.Duration `json:"statementTimeout" check:"min=0s"`
	// Drain is how long connections to the place before may be used on, when this
	// configuration has another URL or user: then they are cut, whatever runs on
	// them. 0s cuts them at once, which is for a place that must not be written to
	// any more. Default 1m. Where only the password or a timeout is new, each is
	// closed when it isn't used, and none is cut.
	Drain configsvc.Duration `json:"drain" default:"1m" check:"min=0s"`
}

var (
	errNoURL    = errors.New("url is not a URL") // what it is instead may be a secret
	errPassword = errors.New("url has a password in it; put it into password, as a secret")
)

// Validate refuses a URL with a password.
func (c Config) Validate() error {
	u, err := url.Parse(c.URL)
	if err != nil || u.Scheme == "" {
		return errNoURL
	}
	if _, has := u.User.Password(); has || u.Query().Has("password") {
		return errPassword
	}
	return nil
}

// place is what may be shown of the URL.
func (c Config) place() string {
	u, err := url.Parse(c.URL)
	if err != nil {
		return ""
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}

// samePlace reports whether both lead to the same database as the same user.
func (c Config) samePlace(d Config) bool { return c.URL == d.URL && c.User == d.User }

// sameConnection reports whether a connection of the one serves the other.
func (c Config) sameConnection(d Config) bool {
	return c.samePlace(d) && c.Password == d.Password && c.ConnectTimeout == d.ConnectTimeout && c.StatementTimeout == d.StatementTimeout
}
