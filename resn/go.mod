module github.com/goswale/swale/resn

go 1.25.0

require github.com/goswale/swale/bus v0.1.0

require github.com/goswale/swale/cache v0.1.0

require (
	github.com/google/go-cmp v0.7.0
	github.com/goswale/swale/hal v0.1.0
	github.com/hashicorp/go-retryablehttp v0.7.8
	github.com/sony/gobreaker/v2 v2.4.0
	go.uber.org/goleak v1.3.0
)

require (
	github.com/hashicorp/go-cleanhttp v0.5.2 // indirect
	github.com/yosida95/uritemplate/v3 v3.0.2 // indirect
)
