"""Whether the name of an event says that something has happened."""

import re

# Participles that do not end in "ed".
_IRREGULAR = frozenset(
    """
    beaten become begun bent bet bid bitten blown born bought bound broken brought built burnt burst
    cast caught chosen come cost crept cut dealt done drawn driven drunk dug eaten fallen fed felt
    flown forbidden forgiven forgotten fought found frozen given gone gotten grown heard held hidden
    hit hung hurt kept known laid learnt led left lent let lit lost made meant met mistaken
    overridden overrun overtaken overthrown paid proven put quit read rebuilt redone rerun resent
    reset resold rewritten ridden risen run said seen sent set shaken shown shrunk shut slept slid
    sold sought spent split spoken spread spun stolen stood stricken struck stuck sung sunk swept
    sworn swum taken taught thought thrown told torn understood undertaken undone unpaid upheld
    upset wed withdrawn withheld won worn woven written wound
    """.split()  # noqa: SIM905  # as prose it can be read
)
# Words in "ed" that are no participles.
_PRESENT = frozenset(
    """
    bed bleed breed embed exceed feed heed indeed need proceed red seed shed speed succeed weed
    """.split()  # noqa: SIM905
)
# SignedUp, LoggedIn: the verb stands before.
_PARTICLES = frozenset(
    "away back down in off on out over through together up".split()  # noqa: SIM905
)


def in_past_tense(name: str) -> bool:
    """Whether a class name such as OrderPlaced or UserSignedUp ends in a past participle."""
    words = [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]
    while len(words) > 1 and words[-1] in _PARTICLES:
        words.pop()
    if not words or words[-1] in _PRESENT:
        return False
    return words[-1].endswith("ed") or words[-1] in _IRREGULAR
