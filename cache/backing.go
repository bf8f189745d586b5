package cache

func (t *Transport) writeBacking(*entry) {}

func (t *Transport) readBacking(*ask) *entry { return nil }
