module github.com/goswale/swale/cache

go 1.25.0
