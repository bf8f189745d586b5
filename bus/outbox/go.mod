module github.com/goswale/swale/bus/outbox

go 1.26.0

require github.com/goswale/swale/bus v0.1.0
