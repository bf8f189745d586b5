module github.com/goswale/swale/tools/conformance

go 1.26.0
