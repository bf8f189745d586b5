/*
 * RESN in the small: one owner, one relay, a bus that loses, one reader with
 * one entry. Change 1 is to the resource that the reader keeps, the later ones
 * to others, so that a lost notice can be followed by one that arrives. Small
 * enough that spin visits every state.
 *
 * Time is a counter that may stand still for any number of steps, so every
 * delay (of relay, bus, owner's answer) is covered up to HORIZON.
 *
 * Checked in every state: a vouched entry is never older than LEASE. The
 * absence of deadlock is checked by spin itself.
 *
 * Each -DWITHOUT_… takes one mechanism away; every one of them must make the
 * check fail. See check.sh.
 */
#ifndef HORIZON
#define HORIZON 4
#endif
#define LEASE 1
#define CHANGES 2  /* in a run */
#define SLOTS 2    /* messages under way */

mtype = { notice, watermark };
chan bus = [SLOTS] of { mtype, byte /* number */, byte /* time */ };

byte now = 0;
byte changes = 0;                /* what the owner has committed */
byte committed;                  /* when it committed change 1 */
bool done = false;

/* The reader. */
byte last = 0;                   /* the last number seen or spoken of */
byte until = 0;                  /* vouched for while now < until */

bool held_vouched = false;       /* the entry may be reused on the owner's word */
bool held_new;                   /* it is from after change 1 */
bool asking_current;             /* no notice came since it was sent */
bool asking_live;                /* the topic was live then, and wasn't reset since */

#define LIVE (now < until)
#define VOUCHED (held_vouched && LIVE)

/* Time passes only as long as there is some left. */
active proctype Clock()
{
	do
	:: atomic { now < HORIZON -> now++ }
	:: atomic { now == HORIZON -> done = true; break }
	od
}

active proctype Owner()
{
	do
	:: atomic { !done && changes < CHANGES ->
		if
		:: changes == 0 -> committed = now
		:: else
		fi;
		changes++ }
	:: done -> break
	:: changes == CHANGES -> break
	od
}

/* The bus takes a message, or loses it; when it is full it loses it. */
inline publish(kind, number, at)
{
	if
	:: nfull(bus) -> bus!kind(number, at)
	:: true -> skip
	fi
}

active proctype Relay()
{
	byte published = 0, found, at;
	do
	:: done -> break
	:: !done ->
#ifdef WITHOUT_TIME_BEFORE_LOOK
		found = changes; at = now;      /* two steps, the wrong way round */
		at = now;
#else
		at = now;
		found = changes;                /* later than the time, never earlier */
#endif
		do
		:: published < found -> published++; publish(notice, published, 0)
		:: else -> break
		od;
		publish(watermark, published, at)
	od
}

/* Notices were missed: nothing that is held or under way is believed. */
inline reset()
{
	held_vouched = false;
	asking_live = false;
	until = 0
}

active proctype Listener()
{
	byte number, at;
	do
	:: done -> break
	:: atomic { bus?notice(number, at) ->
#ifndef WITHOUT_HOLES_IN_NOTICES
		if
		:: number > last + 1 -> reset()
		:: else
		fi;
#endif
		if
		:: number > last -> last = number
		:: else
		fi;
		/* Raise the generation of what it names. */
		if
		:: number == 1 ->
#ifndef WITHOUT_APPLYING
			held_vouched = false;
#endif
#ifndef WITHOUT_FILL_GUARD
			asking_current = false;
#endif
			skip
		:: else
		fi;
		number = 0; at = 0 }
	:: atomic { bus?watermark(number, at) ->
#ifndef WITHOUT_HOLES_IN_WATERMARKS
		if
		:: number > last -> reset(); last = number
		:: else
		fi;
#endif
		if
		:: at + LEASE > until -> until = at + LEASE
		:: else
		fi;
		number = 0; at = 0 }
	od
}

/* The reader asks, the owner answers some time later, the answer arrives some
   time after that. */
active proctype Reader()
{
	bool answer;
	do
	:: done -> break
	:: atomic { !done && !VOUCHED ->
		asking_current = true;
		asking_live = LIVE }
		answer = changes > 0;
		atomic {
			held_new = answer;
#ifdef WITHOUT_LIVE_AT_REQUEST
			held_vouched = asking_current;
#else
			held_vouched = asking_current && asking_live;
#endif
			answer = false; asking_current = false; asking_live = false
		}
	od
}

/* Whoever looks at a vouched entry sees something no older than the lease. */
active proctype Reading()
{
	end:
	atomic {
		VOUCHED && !held_new && changes > 0 && now > committed + LEASE ->
		assert(false)
	}
}
