package outbox

import "time"

// SetFault has the relay call f at every step: remove, number, numbered, publish,
// published, watermark. An error from it ends Run there.
func (r *Relay) SetFault(f func(step string) error) { r.fault = f }

// NeverPolls has the relay look only when it is told to, beyond what LeaderTTL allows.
func (r *Relay) NeverPolls() { r.opts.PollInterval = 24 * time.Hour }
