// Package benchmarks measures Swale beside its rivals. The figures are printed
// by cmd/ratios; the module is never released.
package benchmarks
