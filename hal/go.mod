module github.com/goswale/swale/hal

go 1.25.0
