// Package configcmd is the command for a configuration service, for programs to
// mount: swale config get base/orders.
//
//	os.Exit(configcmd.Main(ctx, os.Args[2:], os.Stdin, os.Stdout, os.Stderr))
//
// It finds the service by -url or SWALE_CONFIG_URL, and sends the token in
// SWALE_CONFIG_TOKEN, if there is one. Every write is conditional on what was
// read, and can be previewed by -n.
package configcmd
