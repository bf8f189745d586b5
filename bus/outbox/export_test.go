package outbox

// SetFault has the relay call f at every step: remove, number, numbered, publish,
// published, watermark. An error from it ends Run there.
func (r *Relay) SetFault(f func(step string) error) { r.fault = f }
