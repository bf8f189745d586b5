module github.com/goswale/swale/auth/totp

go 1.26.0

require (
	github.com/goswale/swale/auth v0.1.0
	github.com/pquerna/otp v1.5.0
	go.uber.org/goleak v1.3.0
)

require (
	github.com/boombuler/barcode v1.0.1-0.20190219062509-6c824513bacc // indirect
	github.com/golang-jwt/jwt/v5 v5.3.1 // indirect
	github.com/goswale/swale/bus v0.1.0 // indirect
	github.com/goswale/swale/cache v0.1.0 // indirect
	github.com/goswale/swale/hal v0.1.0 // indirect
	github.com/goswale/swale/resn v0.1.0 // indirect
	github.com/hashicorp/go-cleanhttp v0.5.2 // indirect
	github.com/hashicorp/go-retryablehttp v0.7.8 // indirect
	github.com/sony/gobreaker/v2 v2.4.0 // indirect
	github.com/yosida95/uritemplate/v3 v3.0.2 // indirect
	golang.org/x/crypto v0.52.0 // indirect
	golang.org/x/sys v0.45.0 // indirect
)
