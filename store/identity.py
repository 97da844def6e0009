"""What makes a store this store: a uuid and the number of partitions, set once."""

from typing import NamedTuple
from uuid import uuid4

from whence.store.errors import ServerRefused, StoreMismatch
from whence.store.keys import DEFAULT_PARTITIONS, GRAMMAR, check_partitions, identity_key
from whence.store.script import ScriptCall, run_scripts, store_script
from whence.store.wire import Wire

_SCRIPT = store_script("identity")


class Identity(NamedTuple):
    uuid: str
    partitions: int


async def establish(wire: Wire, namespace: str, partitions: int | None) -> Identity:
    """Give a new store its identity, or check that the one found there is what is asked for.

    Args:
        partitions: None takes what the store has, or 64 for a new one.

    Raises:
        StoreMismatch: the store has another partition count, or was written by another grammar.
    """
    wanted = DEFAULT_PARTITIONS if partitions is None else check_partitions(partitions)
    call = ScriptCall(_SCRIPT, [identity_key(namespace)], [uuid4().hex, wanted, GRAMMAR])
    (reply,) = await run_scripts(wire, [call])
    if isinstance(reply, Exception):
        raise ServerRefused("to open the store", str(reply))
    uuid, found, grammar = (field.decode() for field in reply)
    if int(grammar) != GRAMMAR:
        raise StoreMismatch(
            f"the store {namespace!r} was written with key grammar {grammar}, and this release "
            f"writes grammar {GRAMMAR}: use the release that made it"
        )
    if partitions is not None and int(found) != partitions:
        raise StoreMismatch(
            f"the store {namespace!r} has {found} partitions, not {partitions}: the number is "
            "fixed when a store is created; leave it out or give the right one"
        )
    return Identity(uuid, int(found))
