package redisadapter

import (
	"errors"
	"net/url"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/goswale/swale/configsvc"
)

// Config is what the configuration says about a Redis. As JSON:
//
//	{
//		"url": "rediss://cache.example:6379/0",
//		"user": "orders",
//		"password": {"$secret": "…"},
//		"poolSize": 20
//	}
type Config struct {
	// URL is the server and the number of the database, as redis.ParseURL takes it:
	// redis:// or, with TLS, rediss://. The password isn't part of it.
	URL string `json:"url" check:"required"`
	// User and Password are the credentials. Default: what the URL says.
	User     string               `json:"user"`
	Password configsvc.SecretText `json:"password"`

	// PoolSize bounds the connections, not counting those of subscriptions and those
	// that are still used for an earlier configuration. Default 20.
	PoolSize int `json:"poolSize" default:"20" check:"min=1,max=10000"`
	// MaxIdleTime and MaxLifetime close a connection that wasn't used for that long,
	// or is that old. Default 5m and 1h.
	MaxIdleTime configsvc.Duration `json:"maxIdleTime" default:"5m" check:"min=1ms"`
	MaxLifetime configsvc.Duration `json:"maxLifetime" default:"1h" check:"min=1ms"`

	// ConnectTimeout bounds the opening of a connection, ReadTimeout and WriteTimeout
	// a command. Default 5s, 3s and 3s.
	ConnectTimeout configsvc.Duration `json:"connectTimeout" default:"5s" check:"min=10ms"`
	ReadTimeout    configsvc.Duration `json:"readTimeout" default:"3s" check:"min=1ms"`
	WriteTimeout   configsvc.Duration `json:"writeTimeout" default:"3s" check:"min=1ms"`
	// Drain is how long commands that began at the place before may take, when this
	// configuration has another URL or user: then they are cut. 0s cuts them at once.
	// Default 1m.
	Drain configsvc.Duration `json:"drain" default:"1m" check:"min=0s"`
}

var (
	errNoURL    = errors.New("url is not the URL of a Redis, such as redis://cache.example:6379/0") // what it is may be a secret
	errPassword = errors.New("url has a password in it; put it into password, as a secret")
)

// Validate refuses what is no URL of a Redis, and one with a password.
func (c Config) Validate() error {
	u, err := url.Parse(c.URL)
	if err != nil {
		return errNoURL
	}
	if _, has := u.User.Password(); has {
		return errPassword
	}
	if _, err := redis.ParseURL(c.URL); err != nil || u.Host == "" {
		return errNoURL
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

func (c Config) samePlace(d Config) bool { return c.URL == d.URL && c.User == d.User }

// options are those of a client; c is valid.
func (c Config) options() (*redis.Options, error) {
	o, err := redis.ParseURL(c.URL)
	if err != nil {
		return nil, errNoURL
	}
	if c.User != "" {
		o.Username = c.User
	}
	o.Password = c.Password.Reveal()
	o.PoolSize, o.ConnMaxIdleTime, o.ConnMaxLifetime = c.PoolSize, time.Duration(c.MaxIdleTime), time.Duration(c.MaxLifetime)
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout = time.Duration(c.ConnectTimeout), time.Duration(c.ReadTimeout), time.Duration(c.WriteTimeout)
	return o, nil
}
