module github.com/goswale/swale/tools/conformance

go 1.26.0

require (
	github.com/gohugoio/httpcache v0.9.0
	github.com/google/go-cmp v0.7.0
	github.com/goswale/swale/cache v0.1.0
	github.com/gregjones/httpcache v0.0.0-20190611155906-901d90724c79
)
