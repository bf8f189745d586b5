package projection

// SetFault has f called at each step; what it returns fails the step.
func (p *Projection) SetFault(f func(step string) error) { p.fault = f }
