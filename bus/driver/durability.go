package driver

import "strconv"

// Level is where a published message is when Publish says that it is safe.
type Level int

// The levels, from weakest to strongest.
const (
	// Fleeting: kept nowhere, on its way to whoever listens now. It is gone with a
	// connection that breaks, and nobody gets it later.
	Fleeting Level = iota - 1
	// Process: in the memory of the publishing process; gone when it ends.
	Process
	// Memory: in a broker's memory; gone when that broker ends.
	Memory
	// Disk: written to the broker's disk but not fsynced; survives the end of the
	// broker's process, not the loss of its machine's power.
	Disk
	// Synced: fsynced to the broker's disk; survives the loss of power.
	Synced
)

// String returns the level's name.
func (l Level) String() string {
	switch l {
	case Fleeting:
		return "kept nowhere"
	case Process:
		return "process memory"
	case Memory:
		return "broker memory"
	case Disk:
		return "disk, not fsynced"
	case Synced:
		return "disk, fsynced"
	}
	return "level " + strconv.Itoa(int(l))
}

// Durability says what "safe" means.
type Durability struct {
	Level Level
	// Replicas is on how many brokers a majority of which confirmed; 0 and 1 are
	// a single one.
	Replicas int
}

// String describes the durability for people.
func (d Durability) String() string {
	if d.Replicas > 1 {
		return d.Level.String() + ", majority of " + strconv.Itoa(d.Replicas)
	}
	return d.Level.String()
}
