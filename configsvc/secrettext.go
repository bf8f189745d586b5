package configsvc

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strings"
)

// hidden is what is shown of a secret.
const hidden = "[secret]"

// SecretText is a text that doesn't show itself: printed with whatever verb,
// logged or marshalled it is "[secret]". It is decoded like any text, so it is the
// type for passwords in a configuration.
type SecretText string

// Reveal returns the text.
func (s SecretText) Reveal() string { return string(s) }

// String returns "[secret]", or "" if there is none.
func (s SecretText) String() string {
	if s == "" {
		return ""
	}
	return hidden
}

// Format writes String, whatever the verb.
func (s SecretText) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue returns String.
func (s SecretText) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText returns String.
func (s SecretText) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Hide returns err with "[secret]" in the place of the text, also where it is
// escaped as in a URL. An error that doesn't tell it stays what it is; of one that
// does only the words are left.
func (s SecretText) Hide(err error) error {
	if s == "" || err == nil {
		return err
	}
	text := err.Error()
	for _, form := range []string{string(s), url.QueryEscape(string(s)), url.PathEscape(string(s)), userForm(s)} {
		text = strings.ReplaceAll(text, form, hidden)
	}
	if text == err.Error() {
		return err
	}
	return errors.New(text)
}

// userForm is the secret as the password in front of a URL's host.
func userForm(s SecretText) string {
	_, password, _ := strings.Cut(url.UserPassword("", string(s)).String(), ":")
	return password
}
