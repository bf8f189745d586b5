module github.com/goswale/swale/tools

go 1.26.0
