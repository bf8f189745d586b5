module github.com/goswale/swale/benchmarks

go 1.26.0

require github.com/goswale/swale/bus v0.1.0

require github.com/goswale/swale/cache v0.1.0

require github.com/goswale/swale/hal v0.1.0

require (
	github.com/goswale/swale/resn v0.1.0
	github.com/gregjones/httpcache v0.0.0-20190611155906-901d90724c79
)

require (
	github.com/hashicorp/go-cleanhttp v0.5.2 // indirect
	github.com/hashicorp/go-retryablehttp v0.7.8 // indirect
	github.com/mattn/go-isatty v0.0.24 // indirect
	github.com/sony/gobreaker/v2 v2.4.0 // indirect
	github.com/yosida95/uritemplate/v3 v3.0.2 // indirect
	golang.org/x/sys v0.49.0 // indirect
)
