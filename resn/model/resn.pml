/*
 * RESN in the small: one owner, one relay, a bus that loses, one reader with
 * one entry. Small enough that spin visits every state.
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
#define VERSIONS 2 /* changes in a run */
#define SLOTS 2    /* messages under way */

mtype = { notice, watermark };
chan bus = [SLOTS] of { mtype, byte /* number */, byte /* time */ };

byte now = 0;
byte version = 0;                /* what the owner has committed */
byte committed[VERSIONS + 1];    /* when */
bool done = false;

/* The reader. */
byte last = 0;                   /* the last number seen or spoken of */
byte until = 0;                  /* vouched for while now < until */

bool held_vouched = false;       /* the entry may be reused on the owner's word */
byte held_version;
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
	:: atomic { !done && version < VERSIONS -> version++; committed[version] = now }
	:: done -> break
	:: version == VERSIONS -> break
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
		found = version; at = now;      /* two steps, the wrong way round */
		at = now;
#else
		at = now;
		found = version;                /* later than the time, never earlier */
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
		/* Raise the generation. */
#ifndef WITHOUT_APPLYING
		held_vouched = false;
#endif
#ifndef WITHOUT_FILL_GUARD
		asking_current = false;
#endif
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
	byte answer;
	do
	:: done -> break
	:: atomic { !done && !VOUCHED ->
		asking_current = true;
		asking_live = LIVE }
		answer = version;
		atomic {
			held_version = answer;
#ifdef WITHOUT_LIVE_AT_REQUEST
			held_vouched = asking_current;
#else
			held_vouched = asking_current && asking_live;
#endif
			answer = 0; asking_current = false; asking_live = false
		}
	od
}

/* Whoever looks at a vouched entry sees something no older than the lease. */
active proctype Reading()
{
	end:
	atomic {
		VOUCHED && held_version < version && now > committed[held_version + 1] + LEASE ->
		assert(false)
	}
}
