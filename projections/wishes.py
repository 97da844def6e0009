"""What a person wants done about the generations of a view; workers do it.

A wish stands beside the generations and names one of them. Numbers are given once, so a wish that
was granted, or that others came before, means nothing any more, and nobody has to take it away.
"""

from typing import Literal

import msgspec

from whence.store.errors import CorruptStore

Action = Literal["rebuild", "compare", "switch", "rollback", "abandon", "drop"]
# What comes after a rebuild: the switch; a comparison, and the switch if nothing differs; a person.
Then = Literal["switch", "compare", "wait"]


class Wish(msgspec.Struct, frozen=True, omit_defaults=True):
    """``number`` is the generation that is meant; for a rebuild it is the newest one so far.

    Args:
        by: who wants it; empty when nobody had to say.
        revision: the version of the projection that is to do a rebuild.
        then: what comes after a rebuild.
    """

    action: Action
    number: int
    by: str = ""
    revision: str = ""
    then: Then = "switch"


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Wish).decode


def encode_wish(wish: Wish) -> bytes:
    return _encode(wish)


def parse_wish(data: str) -> Wish:
    """Raises CorruptStore."""
    try:
        return _decode(data)
    except (msgspec.MsgspecError, ValueError) as error:
        raise CorruptStore(f"what is wanted of a view cannot be read: {data[:80]!r}") from error
