"""What workers have found when they compared a generation that is built with the live one."""

import msgspec

from whence.projections.comparison import Comparison
from whence.projections.projection import Projector
from whence.store.errors import CorruptStore
from whence.store.eventstore import EventStore

# Differences that are kept, and for how long; "rebuild --verify" tells more of them.
_MOST = 20
_KEPT_S = 7 * 86_400


class Compared(msgspec.Struct, frozen=True):
    """``found`` of generation ``number``; without it, ``failure`` says what is in the way."""

    number: int
    found: Comparison | None = None
    failure: str = ""

    @property
    def agrees(self) -> bool:
        return self.found is not None and not self.found.different


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Compared).decode


async def keep_compared(store: EventStore, projection: Projector, compared: Compared) -> None:
    """Keep it for a week, in place of the one before. Raises StoreUnavailable, ServerRefused."""
    found = compared.found
    if found is not None:
        found = found._replace(differences=found.differences[:_MOST])
    data = _encode(msgspec.structs.replace(compared, found=found))
    await store.ask("SET", store.keys.compared(projection.base), data, "EX", _KEPT_S)


async def forget_compared(store: EventStore, projection: Projector) -> None:
    """Raises StoreUnavailable, ServerRefused."""
    await store.ask("DEL", store.keys.compared(projection.base))


async def last_compared(store: EventStore, projection: Projector, number: int) -> Compared | None:
    """What was found of this generation, if it was compared.

    Raises:
        StoreUnavailable, ServerRefused, CorruptStore
    """
    data = await store.ask("GET", store.keys.compared(projection.base))
    if data is None:
        return None
    try:
        found = _decode(data)
    except (msgspec.MsgspecError, ValueError) as error:
        raise CorruptStore(f"a comparison cannot be read: {data[:80]!r}") from error
    return found if found.number == number else None
