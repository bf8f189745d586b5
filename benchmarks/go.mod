module github.com/goswale/swale/benchmarks

go 1.26.0

require github.com/goswale/swale/bus v0.1.0

require github.com/goswale/swale/bus/natsbus v0.1.0

require github.com/goswale/swale/bus/outbox v0.1.0

require github.com/goswale/swale/cache v0.1.0

require github.com/goswale/swale/hal v0.1.0

require github.com/goswale/swale/resn v0.1.0
