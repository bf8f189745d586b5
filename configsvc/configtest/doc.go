// Package configtest is the proof that a driver keeps the contract of package
// driver. A driver's test is a call of [Run]:
//
//	func TestConformance(t *testing.T) {
//		configtest.Run(t, func(t *testing.T) configtest.Open { … })
//	}
package configtest
