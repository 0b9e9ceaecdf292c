/* Every bug that the simulator must find: its name, and what it does.
 * Included with X defined. */
X(SEEDED_ACK_BEFORE_SYNC, "entries are acknowledged before they are synced")
X(SEEDED_VOTE_NOT_SYNCED, "term and vote are not synced")
X(SEEDED_VOTE_FORGOTTEN, "the vote is forgotten at a restart")
X(SEEDED_NO_G1, "guard G1 is off: a compacted follower appends old entries again")
X(SEEDED_NO_G2, "guard G2 is off: configurations inside of batches")
X(SEEDED_NO_G3, "guard G3 is off: late rejections")
X(SEEDED_NO_G4, "guard G4 is off: replies to older terms")
X(SEEDED_NO_G5, "guard G5 is off: a sole voter keeps its term")
X(SEEDED_NO_G6, "guard G6 is off: a denied pre-vote hides a newer term")
X(SEEDED_NO_G7, "guard G7 is off: a deadline in the past")
X(SEEDED_NO_G8, "guard G8 is off: leadership is offered to who is not ready")
