module github.com/goswale/swale/bus/rabbitbus

go 1.26.0

require (
	github.com/google/go-cmp v0.7.0
	github.com/goswale/swale/bus v0.1.0
	github.com/rabbitmq/amqp091-go v1.16.0
	go.uber.org/goleak v1.3.0
)
