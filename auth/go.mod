module github.com/goswale/swale/auth

go 1.25.0

require (
	github.com/goswale/swale/bus v0.1.0
	github.com/goswale/swale/cache v0.1.0
	github.com/goswale/swale/hal v0.1.0
	github.com/goswale/swale/resn v0.1.0
)

require go.uber.org/goleak v1.3.0

require (
	github.com/coreos/go-oidc/v3 v3.18.0
	github.com/go-jose/go-jose/v4 v4.1.4 // indirect
	golang.org/x/oauth2 v0.36.0 // indirect
)

require (
	golang.org/x/crypto v0.52.0
	golang.org/x/sys v0.45.0 // indirect
)

require (
	github.com/golang-jwt/jwt/v5 v5.3.1
	github.com/hashicorp/go-cleanhttp v0.5.2 // indirect
	github.com/hashicorp/go-retryablehttp v0.7.8 // indirect
	github.com/sony/gobreaker/v2 v2.4.0 // indirect
	github.com/yosida95/uritemplate/v3 v3.0.2 // indirect
)
