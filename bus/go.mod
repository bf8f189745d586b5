module github.com/goswale/swale/bus

go 1.25.0
