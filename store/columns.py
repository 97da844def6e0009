"""Numbers of many entries at once: a page is read column by column, not entry by entry.

What a loop would do for each entry, one call of C does here for all of them. It is strict: whoever
gets a ValueError asks the loop, which names the entry at fault.
"""

from collections.abc import Sequence

import msgspec

# int() takes three times as long.
_numbers = msgspec.json.Decoder(list[int])


def numbers(texts: Sequence[bytes]) -> list[int]:
    """What each text says. Raises ValueError unless each is a whole number in decimal digits."""
    return _read(b",".join(texts), len(texts))


def entry_numbers(entry_ids: Sequence[bytes]) -> list[int]:
    """``number_of`` for many. Raises ValueError for an id that is none of ours."""
    joined = b",".join(entry_ids)
    # An id is two numbers with "-" between: where each begins with "0-", there is no other "0-".
    if not joined.startswith(b"0-") or joined.count(b",0-") != len(entry_ids) - 1:
        raise ValueError("an entry id does not begin with 0-")
    return _read(joined.replace(b"0-", b""), len(entry_ids))


def _read(joined: bytes, count: int) -> list[int]:
    try:
        found = _numbers.decode(b"[%b]" % joined)
    except RecursionError as error:
        raise ValueError("a text is no number") from error
    if len(found) != count:
        raise ValueError("a text is not one number")
    return found
