module github.com/goswale/swale/resn

go 1.25.0

require github.com/goswale/swale/bus v0.1.0

require github.com/goswale/swale/cache v0.1.0

require github.com/goswale/swale/hal v0.1.0
