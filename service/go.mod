module github.com/goswale/swale/service

go 1.26.0

require (
	github.com/caarlos0/env/v11 v11.4.2
	github.com/goswale/swale/auth v0.1.0
	github.com/goswale/swale/discovery v0.1.0
	github.com/goswale/swale/hal v0.1.0
	go.uber.org/goleak v1.3.0
)

require (
	github.com/golang-jwt/jwt/v5 v5.3.1 // indirect
	github.com/goswale/swale/bus v0.1.0 // indirect
	github.com/goswale/swale/cache v0.1.0 // indirect
	github.com/goswale/swale/resn v0.1.0 // indirect
	github.com/hashicorp/go-cleanhttp v0.5.2 // indirect
	github.com/hashicorp/go-retryablehttp v0.7.8 // indirect
	github.com/sony/gobreaker/v2 v2.4.0 // indirect
	github.com/yosida95/uritemplate/v3 v3.0.2 // indirect
)
