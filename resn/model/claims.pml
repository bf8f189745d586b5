/*
 * Who owns a topic, in the small (PROTOCOL.md section 10): an owner, a process
 * that wants the topic, and the bus, which has one order and brings claims to each
 * as late as it likes. The owner may fall silent at any moment, lose the topic, and
 * want it again. The second process knows a term that is lower than the owner's,
 * its term, or a higher one, from before.
 *
 * Time is a counter that may stand still for any number of steps, so every delay
 * (of sending, bus, receiving) is covered up to HORIZON.
 *
 * Checked in every state: at most one of the two believes that it owns the topic.
 *
 * A claim reaches both or, on a dead connection, nobody. What is done about claims
 * that reach one of them only (a candidate that misses one of its own waits anew, an
 * owner gives way to a higher term) isn't needed here; tests show what it is for.
 *
 * Each -DWITHOUT_… takes one mechanism away; every one of them must make the
 * check fail. See check.sh.
 */
#ifndef HORIZON
#define HORIZON 7
#endif
#define TTL 2
#define SLOTS 3          /* claims on their way to each */
#define NEVER 99
#ifdef WITHOUT_WAITING
#define PATIENCE 0
#else
#define PATIENCE TTL
#endif

/* from, term (0 of a candidate), when it was sent */
chan bus[2] = [SLOTS] of { bit, byte, byte };

byte now = 0;
bool ours[2];            /* has the topic, while now < until */
byte until[2];
byte term[2];            /* the highest that was heard of, or one's own */
bool wants[2];           /* is a candidate */
byte since[2] = NEVER;   /* heard itself first then */
byte bid[2];             /* the term that it has claimed and not heard yet */

#define OWNS(i) (ours[i] && now < until[i])
#define ROOM (nfull(bus[0]) && nfull(bus[1]))

/* One place in the bus's order, whoever hears it when; or the connection is dead
   and nobody has noticed. */
inline publish(me, t)
{
	if
	:: bus[0]!me,t,now; bus[1]!me,t,now
	:: true
	fi
}

inline forget(me)
{
	wants[me] = false; since[me] = NEVER; bid[me] = 0
}

inline hear_own(me, t, sent)
{
	if
	:: t == 0 && wants[me] && since[me] == NEVER -> since[me] = now
	:: t > 0 && t == bid[me] ->
		forget(me);
		ours[me] = true; term[me] = t; until[me] = sent + TTL
	:: t > 0 && t != bid[me] && ours[me] && t == term[me] ->
#ifdef WITHOUT_COUNTING_FROM_SENDING
		until[me] = now + TTL
#else
		until[me] = (sent + TTL > until[me] -> sent + TTL : until[me])
#endif
	:: else
	fi
}

inline hear_other(me, t)
{
	if
	:: t == 0 -> skip                      /* the owner answers with its next claim */
	:: t > 0 && ours[me] && t >= term[me] -> ours[me] = false; term[me] = t
#ifdef WITHOUT_HEEDING_LOWER_TERMS
	:: t > 0 && !ours[me] && t >= term[me] -> forget(me); term[me] = t
#else
	:: t > 0 && !ours[me] ->
		forget(me);
		term[me] = (t > term[me] -> t : term[me])
#endif
	:: else
	fi
}

proctype Party(bit me)
{
	bit from; byte t, sent;
end:	do
	/* An owner says so, or doesn't; nobody can make it. */
	:: atomic { OWNS(me) && ROOM && now < HORIZON ->
		publish(me, term[me]);
#ifdef WITHOUT_ECHO
		until[me] = now + TTL
#endif
	}
	:: atomic { ours[me] && !OWNS(me) -> ours[me] = false; until[me] = 0 }
	:: atomic { !ours[me] && !wants[me] && bid[me] == 0 && ROOM && now < HORIZON ->
		wants[me] = true;
		publish(me, 0) }
	:: atomic { wants[me] && since[me] != NEVER && now >= since[me] + PATIENCE && ROOM ->
		wants[me] = false; since[me] = NEVER;
		bid[me] = term[me] + 1;
		publish(me, bid[me]);
#ifdef WITHOUT_ORDER
		ours[me] = true; term[me] = bid[me]; until[me] = now + TTL; bid[me] = 0
#endif
	}
	:: atomic { bus[me]?from,t,sent ->
		if
		:: from == me -> hear_own(me, t, sent)
		:: else -> hear_other(me, t)
		fi;
		from = 0; t = 0; sent = 0 }
	od
}

active proctype Clock()
{
end:	do
	:: atomic { now < HORIZON -> now++ }
	od
}

init {
	atomic {
		ours[0] = true; until[0] = TTL; term[0] = 2;
		if
		:: term[1] = 0
		:: term[1] = 2
		:: term[1] = 3
		fi;
		run Party(0); run Party(1)
	}
}

/* Whoever looks finds one owner at the most. */
active proctype Looking()
{
end:	atomic { OWNS(0) && OWNS(1) -> assert(false) }
}
