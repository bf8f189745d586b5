// Command swale runs the reference system, measures it, and copies its services.
//
//	swale up                 the whole system in one process
//	swale new domain menus   a service of your own: a copy, renamed, in a new module
//	swale demo n+1           what a page of many items costs, four ways
//	swale restaurants        the domain service alone
//	swale storefront         the edge service alone
//
// # Configuration
//
// Every flag can be given by the environment: --some-flag by SWALE_SOME_FLAG,
// and --nats by NATS_URL too. What the command line says wins. The commands of one
// service read what package service's Environment names as well.
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
// The first SIGINT or SIGTERM stops in order: the door, the storefront, the
// domain services (riders, orders, restaurants) with their relays, the kernel, the
// bus, each finishing what it has begun. So does a part that dies, and then the exit code is 1. A second one
// ends the program at once, which loses nothing either: every change and its
// notice are one transaction.
package main
