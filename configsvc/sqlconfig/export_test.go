package sqlconfig

// SetFault has f called between the steps of each commit.
func (d *Driver) SetFault(f func(step string) error) { d.fault = f }
