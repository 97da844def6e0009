"""Every key that grammar v1 allows: any other would be forgotten by backups, ACLs and Cluster."""

import re
from collections.abc import Iterable

_ALLOWED = re.compile(
    rb"[a-z0-9-]+:(identity|(generations|compared):[\w.~-]+|workers:[\w.~-]+(@\d+)?)"
    rb"|\{[a-z0-9-]+:\d{3}\}:(feed|(e|snap):[\w.~-]+:[\w.~-]+|cmd:[\w.~-]+:[\w.~-]+:[\w.~-]+|(lease|cp|view|index|parked|skipped|asked|timers|due):[\w.~-]+(@\d+)?)"
)


def strange_keys(found: Iterable[bytes]) -> list[bytes]:
    """Those of these keys that the grammar does not know."""
    return [key for key in found if _ALLOWED.fullmatch(key) is None]
