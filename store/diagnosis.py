"""What a server's own account of itself means for the events on it."""

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec
from msgspec.structs import replace

from whence.store.durability import FSYNC, RELAXED, Durability
from whence.store.memory_use import NODE_BYTES, MemoryUse
from whence.store.server_state import ServerState

Verdict = Literal["ok", "warning", "danger"]

_CANNOT_SEE = "cannot see"
# Which releases replay an append of several events whatever the ACL user "default" may do: Valkey
# 9.1.2 was measured to. Redis 7.0.15 was measured not to, and its fix is younger than 8.4.0; which
# release brought it is not known to us.
_REPLAYS_ALL = (9, 1, 2)
_REPLAYS_LESS = (8, 4, 0)
_OLDEST = {"redis": (7, 0), "valkey": (7, 2)}
# Parts of maxmemory: above, appends are near to being refused.
_NEARLY_FULL = 0.8
_FULL = 0.95
# The part of an event's memory that is worth a change of settings.
_WORTH_IT = 0.2


class Finding(msgspec.Struct, frozen=True):
    """One check: its name, what was found, how grave that is, and what to do ("" for nothing)."""

    name: str
    found: str
    verdict: Verdict = "ok"
    advice: str = ""


def diagnose(state: ServerState, durability: Durability) -> list[Finding]:
    """The findings that follow from what the server says of itself."""
    return [
        _server(state),
        _default_user(state),
        _append_only(state, durability),
        _append_fsync(state, durability),
        _status(state, "aof_last_write_status", "the log is not written: see the server's own log"),
        _status(state, "aof_last_bgrewrite_status", "the log grows for ever: is the disk full?"),
        _snapshot(state),
        _delayed_fsync(state),
        _eviction(state, durability),
        _evicted(state),
        _max_memory(state),
        _role(state),
        _replicas(state, durability),
        Finding("run_id", state.info.get("run_id", _CANNOT_SEE)),
    ]


def merged(findings: Mapping[str, Sequence[Finding]]) -> list[Finding]:
    """The findings of several servers, each named where they are not alike."""
    rows: dict[str, dict[Finding, list[str]]] = {}
    for where, found in findings.items():
        for finding in found:
            rows.setdefault(finding.name, {}).setdefault(finding, []).append(where)
    return [
        finding if len(alike) == 1 else replace(finding, name=f"{name} of {', '.join(servers)}")
        for name, alike in rows.items()
        for finding, servers in alike.items()
    ]


def failover_finding(states: Sequence[ServerState], durability: Durability) -> Finding:
    """Whether a replica that takes over has what was acknowledged; one state per primary."""
    name = "failover"
    fewest = min((state.replicas for state in states if state.info), default=0)
    if not fewest:
        return Finding(
            name,
            f"primaries: {len(states)}, one without a replica",
            "warning",
            "nothing takes over when it is lost: give each primary a replica",
        )
    if durability.replicas < fewest:
        return Finding(
            name,
            f"replicas of each primary: {fewest}; {durability} waits for {durability.replicas}",
            "warning",
            "a replica may take over that does not have the last acknowledged events: "
            f"WHENCE_DURABILITY=replicated:{fewest}",
        )
    return Finding(name, f"primaries: {len(states)}; {durability} waits for each of their replicas")


def _unseen(name: str, command: str) -> Finding:
    return Finding(name, _CANNOT_SEE, "warning", f"allow this user {command}, or ask its operator")


def _server(state: ServerState) -> Finding:
    if not state.kind:
        return _unseen("server", "INFO")
    found = f"{state.kind} {'.'.join(map(str, state.version))}"
    if state.version < _OLDEST[state.kind]:
        return Finding("server", found, "danger", "use Redis 7.0, Valkey 8, or a later one")
    return Finding("server", found)


def _default_user(state: ServerState) -> Finding:
    """Older servers replay their log as this user, and drop each append it may not make."""
    name = "ACL user default"
    if state.default_user_limited is None:
        if _replays_all(state):
            return Finding(name, _CANNOT_SEE)
        return _unseen(name, "ACL GETUSER")
    if not state.default_user_limited:
        return Finding(name, "may do everything")
    if state.info.get("aof_enabled") == "0" or _replays_all(state):
        return Finding(name, "is off or limited")
    sure = state.kind == "valkey" or (state.kind == "redis" and state.version <= _REPLAYS_LESS)
    which = "this release drops" if sure else "Redis 8.4.0, Valkey 9.1.1 and older ones drop"
    return Finding(
        name,
        "is off or limited",
        "danger" if sure else "warning",
        f"{which} every append of several events at a restart (issue 14541 of Redis, "
        "3983 of Valkey): give the user default all rights and a secret password, or use Valkey "
        "9.1.2",
    )


def _replays_all(state: ServerState) -> bool:
    return state.kind == "valkey" and state.version >= _REPLAYS_ALL


def _append_only(state: ServerState, durability: Durability) -> Finding:
    match state.info.get("aof_enabled"):
        case None:
            return _unseen("appendonly", "INFO")
        case "0":
            return Finding(
                "appendonly",
                "no",
                "warning" if durability == RELAXED else "danger",
                "a restart loses what no snapshot has: CONFIG SET appendonly yes",
            )
        case _:
            return Finding("appendonly", "yes")


def _append_fsync(state: ServerState, durability: Durability) -> Finding:
    found = state.config.get("appendfsync")
    if found is None:
        advice = "if it is always, assert it: WHENCE_ASSERT_DURABILITY=1"
        return Finding("appendfsync", _CANNOT_SEE, "warning", advice)
    if found == "always":
        return Finding("appendfsync", found)
    return Finding(
        "appendfsync",
        found,
        "danger" if durability == FSYNC else "warning",
        "a crash loses seconds of acknowledged events: CONFIG SET appendfsync always",
    )


def _status(state: ServerState, name: str, advice: str) -> Finding:
    found = state.info.get(name)
    if found is None:
        return _unseen(name, "INFO")
    return Finding(name, found) if found == "ok" else Finding(name, found, "danger", advice)


def _snapshot(state: ServerState) -> Finding:
    name = "rdb_last_bgsave_status"
    found = state.info.get(name)
    if found is None:
        return _unseen(name, "INFO")
    if found == "ok":
        return Finding(name, found)
    return Finding(
        name,
        found,
        "warning",
        "snapshots fail, and the server may refuse to write: is the disk full?",
    )


def _delayed_fsync(state: ServerState) -> Finding:
    if not state.info:
        return _unseen("aof_delayed_fsync", "INFO")
    found = state.info.get("aof_delayed_fsync", "0")  # not there without a log
    if found == "0":
        return Finding("aof_delayed_fsync", found)
    return Finding(
        "aof_delayed_fsync",
        found,
        "warning",
        "the disk is slower than the writes: with everysec, more than a second can be lost",
    )


def _eviction(state: ServerState, durability: Durability) -> Finding:
    name, found = "maxmemory-policy", state.info.get("maxmemory_policy")
    if found is None:
        return _unseen(name, "INFO")
    if found == "noeviction":
        return Finding(name, found)
    all_keys = found.startswith("allkeys")
    deletes = "keys, events among them" if all_keys else "keys that expire, such as leases"
    return Finding(
        name,
        found,
        "danger" if all_keys or durability != RELAXED else "warning",
        f"a full server deletes {deletes}: CONFIG SET maxmemory-policy noeviction",
    )


def _evicted(state: ServerState) -> Finding:
    found = state.info.get("evicted_keys")
    if found is None:
        return _unseen("evicted_keys", "INFO")
    if found == "0":
        return Finding("evicted_keys", found)
    return Finding(
        "evicted_keys",
        found,
        "danger",
        "keys were deleted since the server started: compare the events with a backup",
    )


def _max_memory(state: ServerState) -> Finding:
    text = state.info.get("maxmemory")
    if text is None:
        return _unseen("maxmemory", "INFO")
    limit, used = int(text), int(state.info.get("used_memory", "0"))
    if not limit:
        return Finding("maxmemory", f"no limit, {_bytes(used)} used")
    found = f"{_bytes(used)} of {_bytes(limit)} used"
    if used < _NEARLY_FULL * limit:
        return Finding("maxmemory", found)
    verdict: Verdict = "warning" if used < _FULL * limit else "danger"
    return Finding(
        "maxmemory", found, verdict, "a full server refuses appends: raise maxmemory, or add memory"
    )


def _role(state: ServerState) -> Finding:
    match state.info.get("role"):
        case None:
            return _unseen("role", "INFO")
        case "master":
            return Finding("role", "primary")
        case other:
            return Finding(
                "role",
                "replica" if other == "slave" else other,
                "danger",
                "a replica refuses appends: use the URL of its primary",
            )


def _replicas(state: ServerState, durability: Durability) -> Finding:
    if not state.info:
        return _unseen("replicas", "INFO")
    found, wanted = state.replicas, durability.replicas
    if found >= wanted:
        return Finding("replicas", f"{found} in step")
    return Finding(
        "replicas",
        f"{found} in step, {durability} needs {wanted}",
        "danger",
        "every append ends as unknown until they are there: start them, or lower the number",
    )


def memory_finding(use: MemoryUse, state: ServerState) -> Finding:
    """What an event costs, and what the setting of the embedded server would make of it."""
    name, text = "stream-node-max-bytes", state.config.get("stream-node-max-bytes")
    if not use.bytes_per_event:
        return _unseen(name, "MEMORY USAGE")
    found = f"{use.bytes_per_event:,.0f} bytes per event"
    if text is None:
        return Finding(name, f"{_CANNOT_SEE}; {found}")
    saved = use.saved_per_event(int(text))
    if saved < use.bytes_per_event * _WORTH_IT:
        return Finding(name, f"{text}; {found}")
    return Finding(
        name,
        f"{text}; {found}",
        "warning",
        f"CONFIG SET {name} {NODE_BYTES} would save about {saved:,.0f} bytes of each in "
        "streams like those written last",
    )


def _bytes(number: int) -> str:
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("KB", 10**3)):
        if number >= size:
            return f"{number / size:,.1f} {unit}"
    return f"{number} bytes"
