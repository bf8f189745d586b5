package auth

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// MetadataPath is where an issuer's metadata is, below its origin and before
// its path (RFC 8414 section 3).
const MetadataPath = "/.well-known/oauth-authorization-server"

// Metadata is what an issuer says of itself (RFC 8414), with the members that
// OpenID Connect Discovery asks for.
type Metadata struct {
	Issuer                 string   `json:"issuer"`
	TokenEndpoint          string   `json:"token_endpoint"`
	JWKSURI                string   `json:"jwks_uri"`
	AuthorizationEndpoint  string   `json:"authorization_endpoint,omitempty"`
	IntrospectionEndpoint  string   `json:"introspection_endpoint,omitempty"`
	RevocationEndpoint     string   `json:"revocation_endpoint,omitempty"`
	ScopesSupported        []string `json:"scopes_supported,omitempty"`
	ResponseTypesSupported []string `json:"response_types_supported"`
	GrantTypesSupported    []string `json:"grant_types_supported,omitempty"`
	TokenAuthMethods       []string `json:"token_endpoint_auth_methods_supported,omitempty"`
	TokenAuthAlgorithms    []string `json:"token_endpoint_auth_signing_alg_values_supported,omitempty"`
	SubjectTypes           []string `json:"subject_types_supported,omitempty"`
	SigningAlgorithms      []string `json:"id_token_signing_alg_values_supported,omitempty"`
	Claims                 []string `json:"claims_supported,omitempty"`

	// GrantsURI is where the grants of services are; see Grants.
	GrantsURI string `json:"swale_grants_uri,omitempty"`
}

// metadataURL returns where an issuer's metadata is.
func metadataURL(issuer string) (string, error) {
	u, err := checkIssuer(issuer)
	if err != nil {
		return "", err
	}
	u.Path = MetadataPath + strings.TrimSuffix(u.Path, "/")
	return u.String(), nil
}

// checkIssuer says what is wrong with an issuer identifier.
func checkIssuer(issuer string) (*url.URL, error) {
	u, err := url.Parse(issuer)
	switch {
	case err != nil:
		return nil, fmt.Errorf("auth: issuer: %w", err)
	case u.Scheme != "https" && u.Scheme != "http" || u.Host == "":
		return nil, fmt.Errorf("auth: issuer %q is not an absolute http or https URL", issuer)
	case u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		return nil, fmt.Errorf("auth: issuer %q may have no query, fragment or user (RFC 8414 section 2)", issuer)
	case strings.HasSuffix(u.Path, "/"):
		return nil, fmt.Errorf("auth: issuer %q may not end in a slash", issuer)
	}
	return u, nil
}

// parseMetadata reads the metadata of an issuer and believes only what is at
// the issuer's own origin.
func parseMetadata(issuer string) func([]byte) (Metadata, error) {
	return func(data []byte) (Metadata, error) {
		var m Metadata
		if err := json.Unmarshal(data, &m); err != nil {
			return m, fmt.Errorf("auth: metadata: %w", err)
		}
		if m.Issuer != issuer {
			return m, fmt.Errorf("auth: the metadata is of issuer %q, not of %q (RFC 8414 section 3.3)", m.Issuer, issuer)
		}
		if m.JWKSURI == "" {
			return m, errors.New("auth: the metadata has no jwks_uri")
		}
		home, err := url.Parse(issuer)
		if err != nil {
			return m, err
		}
		for _, at := range []string{m.JWKSURI, m.GrantsURI} {
			u, err := url.Parse(at)
			if at != "" && (err != nil || u.Scheme != home.Scheme || u.Host != home.Host) {
				return m, fmt.Errorf("auth: the metadata leads to %q, which is not at the issuer's origin", at)
			}
		}
		return m, nil
	}
}
