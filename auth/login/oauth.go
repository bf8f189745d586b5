package login

import (
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goswale/swale/auth"
)

// Grant types and token types of the token endpoint.
const (
	grantExchange = "urn:ietf:params:oauth:grant-type:token-exchange"
	grantClient   = "client_credentials"
	typeAccess    = "urn:ietf:params:oauth:token-type:access_token"
	typeJWT       = "urn:ietf:params:oauth:token-type:jwt"
	typeSession   = "urn:swale:params:oauth:token-type:session"
)

func (h *handler) metadata(w http.ResponseWriter, r *http.Request) error {
	o := &h.Service.opts
	scopes := make([]string, 0)
	for _, app := range h.apps {
		for _, list := range app.Scopes {
			scopes = append(scopes, list...)
		}
	}
	slices.Sort(scopes)
	m := auth.Metadata{
		Issuer: o.Issuer, TokenEndpoint: o.Issuer + "/token", JWKSURI: h.jwksHref(), GrantsURI: h.grantsHref(),
		AuthorizationEndpoint: o.Issuer + "/signin",
		IntrospectionEndpoint: o.Issuer + "/introspect", RevocationEndpoint: o.Issuer + "/revoke",
		ScopesSupported: slices.Compact(scopes), ResponseTypesSupported: []string{"none"},
		GrantTypesSupported: []string{grantExchange, grantClient},
		TokenAuthMethods:    []string{"private_key_jwt"},
		TokenAuthAlgorithms: []string{auth.EdDSA, auth.ES256},
		SubjectTypes:        []string{"public"},
		SigningAlgorithms:   []string{o.Algorithm},
		Claims:              []string{"iss", "sub", "aud", "exp", "iat", "jti", "app", "sid", "client_id", "scope", "roles", "act"},
	}
	return writeJSON(w, r, m, "max-age=300")
}

func (h *handler) jwks(w http.ResponseWriter, r *http.Request) error {
	keys, err := h.keys.current(r.Context())
	if err != nil {
		return err
	}
	set := struct {
		Keys []auth.JWK `json:"keys"`
	}{Keys: []auth.JWK{}}
	for _, k := range keys {
		set.Keys = append(set.Keys, k.Public)
	}
	return writeJSON(w, r, set, "max-age=60")
}

func (h *handler) getGrants(w http.ResponseWriter, r *http.Request) error {
	g, _, err := h.grants(r.Context())
	if err != nil {
		return err
	}
	return writeJSON(w, r, g, "max-age=5")
}

// writeJSON answers a document that isn't HAL, with an ETag.
func writeJSON(w http.ResponseWriter, r *http.Request, v any, cacheControl string) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	etag := `"` + hashOf(string(body))[:22] + `"`
	w.Header().Set("Etag", etag)
	w.Header().Set("Cache-Control", cacheControl)
	if match := r.Header.Get("If-None-Match"); match != "" && (match == "*" || strings.Contains(match, etag)) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	w.Header().Set("Content-Type", "application/json")
	_, err = w.Write(body)
	return err
}

// oauthError answers as RFC 6749 section 5.2 wants it.
func oauthError(w http.ResponseWriter, err error) error {
	var throttled *ThrottledError
	status, code, text := http.StatusBadRequest, "", ""
	switch {
	case errors.As(err, &throttled):
		w.Header().Set("Retry-After", retryAfter(throttled))
		status, code, text = http.StatusTooManyRequests, "slow_down", "Too many tries."
	case errors.Is(err, errClient):
		status, code = http.StatusUnauthorized, "invalid_client"
	case errors.Is(err, ErrDenied):
		code = "invalid_grant"
	case errors.Is(err, ErrScope):
		code, text = "invalid_scope", sentence(err)
	case errors.Is(err, ErrAudience):
		code, text = "invalid_target", sentence(err) // RFC 8693 section 2.2.2
	case errors.Is(err, errGrantType):
		code, text = "unsupported_grant_type", "Use "+grantExchange+" or "+grantClient+"."
	case errors.Is(err, errRequest):
		code, text = "invalid_request", strings.TrimPrefix(err.Error(), errRequest.Error()+": ")
	default:
		return err
	}
	body, merr := json.Marshal(struct {
		Error       string `json:"error"`
		Description string `json:"error_description,omitempty"`
	}{code, text})
	if merr != nil {
		return merr
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, merr = w.Write(body)
	return merr
}

var (
	errClient    = errors.New("login: the client didn't prove who it is")
	errGrantType = errors.New("login: unsupported grant type")
	errRequest   = errors.New("login: bad request")
)

func bad(text string) error { return errors.Join(errRequest, errors.New(text)) }

// form reads a form that has each parameter once (RFC 6749 section 3.2), from
// the body alone.
func form(r *http.Request) (url.Values, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, bad("the body is to be application/x-www-form-urlencoded")
	}
	if err := r.ParseForm(); err != nil {
		return nil, bad("the form can't be read")
	}
	for name, values := range r.PostForm {
		if len(values) > 1 && name != "audience" && name != "resource" {
			return nil, bad(name + " is there more than once")
		}
	}
	return r.PostForm, nil
}

// client authenticates the service that asks, if it names itself.
func (h *handler) client(r *http.Request, f url.Values) (*Client, error) {
	if f.Get("client_assertion") == "" {
		return nil, nil
	}
	if f.Get("client_assertion_type") != assertionType {
		return nil, errClient
	}
	c, err := h.authenticate(r.Context(), f.Get("client_assertion"))
	if errors.Is(err, ErrDenied) {
		return nil, errClient
	}
	if err == nil && f.Get("client_id") != "" && f.Get("client_id") != c.ID {
		return nil, errClient
	}
	return c, err
}

func (h *handler) token(w http.ResponseWriter, r *http.Request) error {
	t, err := h.grant(r)
	if err != nil {
		return oauthError(w, err)
	}
	body, err := json.Marshal(struct { //nolint:gosec // the token is what was asked for
		Access  string `json:"access_token"`
		Issued  string `json:"issued_token_type"`
		Type    string `json:"token_type"`
		Expires int64  `json:"expires_in"`
		Scope   string `json:"scope,omitempty"`
	}{t.Access, typeAccess, "Bearer", int64(t.Expires.Sub(h.Service.opts.Clock()) / time.Second), strings.Join(t.Scopes, " ")})
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	_, err = w.Write(body)
	return err
}

func (h *handler) grant(r *http.Request) (Token, error) {
	f, err := form(r)
	if err != nil {
		return Token{}, err
	}
	client, err := h.client(r, f)
	if err != nil {
		return Token{}, err
	}
	audiences := append(slices.Clone(f["audience"]), f["resource"]...) // RFC 8707
	if len(audiences) != 1 {
		return Token{}, bad("one audience is needed: a token is for one service")
	}
	scopes := strings.Fields(f.Get("scope"))
	switch f.Get("grant_type") {
	case grantClient:
		if client == nil {
			return Token{}, errClient
		}
		return h.ServiceToken(r.Context(), client.ID, audiences[0], scopes...)
	case grantExchange:
	default:
		return Token{}, errGrantType
	}
	if t := f.Get("requested_token_type"); t != "" && t != typeAccess && t != typeJWT {
		return Token{}, bad("requested_token_type is to be " + typeAccess)
	}
	subject := f.Get("subject_token")
	if subject == "" {
		return Token{}, bad("subject_token is missing")
	}
	switch f.Get("subject_token_type") {
	case typeSession:
		return h.Exchange(r.Context(), subject, audiences[0], scopes...)
	case typeAccess, typeJWT:
		if client == nil {
			return Token{}, errClient // who acts has to say so
		}
		return h.Delegate(r.Context(), client.ID, subject, audiences[0], scopes...)
	}
	return Token{}, bad("subject_token_type is to be " + typeSession + " or " + typeAccess)
}

// introspect implements RFC 7662, for clients that may.
func (h *handler) introspect(w http.ResponseWriter, r *http.Request) error {
	f, err := form(r)
	if err != nil {
		return oauthError(w, err)
	}
	client, err := h.client(r, f)
	if err == nil && (client == nil || !client.Introspects) {
		err = errClient
	}
	if err != nil {
		return oauthError(w, err)
	}
	answer := map[string]any{"active": false}
	c, err := h.access(r.Context(), f.Get("token"))
	switch {
	case err == nil:
		answer = map[string]any{
			"active": true, "iss": c.Issuer, "sub": c.Subject, "aud": c.Audience, "jti": c.ID, "token_type": "Bearer",
			"exp": c.Expires.Unix(), "iat": c.IssuedAt.Unix(), "scope": strings.Join(c.Scopes, " "),
			"app": c.Application, "sid": c.Session, "client_id": c.Client, "roles": c.Roles,
		}
	case !errors.Is(err, ErrDenied):
		return err
	}
	body, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	_, err = w.Write(body)
	return err
}

// revoke implements RFC 7009. A session's secret ends the session; an access
// token ends the session that it was made of. What isn't known is gone.
func (h *handler) revoke(w http.ResponseWriter, r *http.Request) error {
	f, err := form(r)
	if err != nil {
		return oauthError(w, err)
	}
	token := f.Get("token")
	if token == "" {
		return oauthError(w, bad("token is missing"))
	}
	if strings.HasPrefix(token, "sws_") {
		err = h.Logout(r.Context(), token)
	} else if c, aerr := h.access(r.Context(), token); aerr == nil && c.Session != "" {
		err = h.EndSession(r.Context(), c.Client, c.Session)
	} else if aerr != nil && !errors.Is(aerr, ErrDenied) {
		err = aerr
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

func retryAfter(t *ThrottledError) string {
	return strconv.Itoa(int(t.Wait/time.Second) + 1)
}
