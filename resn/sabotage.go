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

	// Of who owns a topic (G3).
	bound      bool // a commit goes on when the topic is lost
	deposed    bool // watermarks go on when it is lost
	regained   bool // who has it again goes on with his numbers
	wait       bool // a candidate doesn't wait for the TTL
	since      bool // he waits from when he claimed, not from when he heard himself
	order      bool // he has it before his claim came back
	gaps       bool // he overlooks that claims were lost
	echo       bool // an owner believes a claim that didn't come back
	objections bool // a candidate doesn't heed an owner
	terms      bool // an owner doesn't heed a higher term

	// Of what coherence costs, and of getting well again (rest).
	restarts bool // each watermark is taken for one of a new epoch
	coarse   bool // a notice is taken for a loss
	grieves  bool // who has missed notices believes no watermark any more
	retries  bool // a subscription that failed isn't tried again
	restless bool // a publisher begins an epoch with each change
	retakes  bool // a publisher that has lost its topic doesn't take it again
}
