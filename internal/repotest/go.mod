module github.com/goswale/swale/internal/repotest

go 1.26.0

require github.com/goswale/swale/tools v0.1.0

require golang.org/x/mod v0.42.0 // indirect
