// Command swale runs the reference system and measures it.
//
//	swale up                 the whole system in one process
//	swale demo n+1           what a page of many items costs, four ways
//	swale restaurants        the domain service alone
//	swale storefront         the edge service alone
//
// # Configuration
//
// Every flag can be given by the environment: --some-flag by SWALE_SOME_FLAG,
// and --nats by NATS_URL too. What the command line says wins.
//
// # Output
//
// What runs where goes to standard output, and the line that begins with
// "ready" is the last one before requests are answered. Logs and progress go
// to standard error. The exit code is 0 when all went well, 1 when something
// failed, 2 when the command was called wrongly.
//
// # Stopping
//
// The first SIGINT or SIGTERM stops in order: the storefront, the restaurants
// service, its relay, the bus, each finishing what it has begun. A second one
// ends the program at once, which loses nothing either: every change and its
// notice are one transaction.
package main
