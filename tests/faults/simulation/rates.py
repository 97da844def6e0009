"""How often the network goes wrong, and in which ways."""

import msgspec


class Rates(msgspec.Struct, frozen=True):
    """How often each packet or connection meets a fault, from 0 to 1.

    Attributes:
        refused: a connection is refused.
        unanswered: a connection is never made; its caller waits in vain.
        lost_request: a packet does not arrive, or only its first bytes; then the connection ends.
        lost_reply: what the server answers does not arrive; then the connection ends.
        silence: from here on neither side hears of the other again.
        late: the same, but what was sent arrives when its sender has given up.
        repeated: a packet arrives a second time, later and from nowhere.
        slow: a packet takes up to a second.
    """

    refused: float = 0.0
    unanswered: float = 0.0
    lost_request: float = 0.0
    lost_reply: float = 0.0
    silence: float = 0.0
    late: float = 0.0
    repeated: float = 0.0
    slow: float = 0.0


CALM = Rates()
# Of the faults, those that a packet may meet on its way; it meets one of them.
ON_THE_WAY = frozenset({"lost_request", "lost_reply", "silence", "late", "repeated"})
