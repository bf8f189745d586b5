package resn

// sabotage switches off, one by one, what the guarantees rest on. Its zero
// value switches off nothing, and only tests set another: to see that the
// simulator of the whole system notices.
type sabotage struct {
	notices bool // G1: a notice isn't applied
	repeats bool // G1: a number that was missed is taken for a repeat
	stored  bool // G2: a notice is for what is stored, not for what is under way
	holes   bool // G3: missing numbers are overlooked
	epochs  bool // G3: so is a new epoch
	late    bool // G3: a watermark vouches from when it comes, whatever it says
	future  bool // G3: also one from the future
	pending bool // G3: a publisher's watermark doesn't wait for changes under way
}
