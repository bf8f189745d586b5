module github.com/goswale/swale/internal/repotest

go 1.26.0
