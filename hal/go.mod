module github.com/goswale/swale/hal

go 1.25.0

require (
	github.com/google/go-cmp v0.7.0
	github.com/yosida95/uritemplate/v3 v3.0.2
	go.uber.org/goleak v1.3.0
)
