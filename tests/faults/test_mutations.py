"""The checks bite: with one of them taken out of append.lua, a scenario of the suite goes wrong."""

import asyncio
from pathlib import Path

import pytest

from tests.faults.checker import check
from tests.faults.commander import Commander, Work
from tests.faults.domain import model
from tests.faults.history import Recorder, recorded
from tests.faults.log import log_of
from tests.faults.mutation import mutated
from tests.faults.proxy import proxy_to
from tests.faults.test_lost_replies import FirstOnly
from tests.store.domain import Deposited, Opened, account, append_of
from whence import Runtime
from whence.store import append as append_module
from whence.store.append import Committed, Conflicted
from whence.store.eventstore import EventStore, open_store


async def test_without_the_command_id_check_a_lost_answer_becomes_a_false_conflict(
    monkeypatch: pytest.MonkeyPatch, valkey_url: str, namespace: str
) -> None:
    mutated(
        monkeypatch,
        append_module,
        "_SCRIPT",
        "and stored_by(key, expected, command, count)",
        "and false",
    )
    async with proxy_to(valkey_url) as proxy, open_store(proxy.url, namespace=namespace) as store:
        proxy.lose_reply = FirstOnly(b"committed")

        outcome = await store.append(append_of(account(), 0, Opened("ann")))

        assert isinstance(outcome, Conflicted)


async def test_without_the_version_check_two_writers_overwrite_each_other(
    monkeypatch: pytest.MonkeyPatch, store: EventStore
) -> None:
    await store.append(append_of(account(), 0, Opened("ann")))
    old = "if head.version ~= expected or head.broken then"
    mutated(monkeypatch, append_module, "_SCRIPT", old, "if false then")

    # The stream itself refuses the second version 1, at the write.
    assert isinstance(await store.append(append_of(account(), 0, Opened("eve"))), Conflicted)

    mutated(monkeypatch, append_module, "_SCRIPT", "local id = '0-' .. version", "local id = '0-*'")
    mutated(monkeypatch, append_module, "_SCRIPT", "if added ~= id then", "if added.err then")
    assert isinstance(await store.append(append_of(account(), 0, Opened("eve"))), Committed)


async def test_without_the_row_check_a_row_is_continued_behind_its_gap(
    monkeypatch: pytest.MonkeyPatch, store: EventStore
) -> None:
    mutated(
        monkeypatch,
        append_module,
        "_SCRIPT",
        "head.version ~= expected or head.broken",
        "head.version ~= expected",
    )
    await store.append(append_of(account(), 0, Opened("eve")))

    await store.append_many([append_of(account(), v, Deposited(v)) for v in range(3)])

    assert await store.head(account()) > 1


async def test_without_the_memory_check_the_checker_finds_commands_stored_twice(
    monkeypatch: pytest.MonkeyPatch, valkey_url: str, namespace: str, tmp_path: Path
) -> None:
    old, new = "if memory then\n    local word", "if false then\n    local word"
    mutated(monkeypatch, append_module, "_SCRIPT", old, new)
    paths = [tmp_path / "one", tmp_path / "two"]
    work = Work(seed=1, aggregates=5)
    keyed = [task for number in range(400) if (task := work.command(number)).keyed]
    async with open_store(valkey_url, namespace=namespace) as store:
        async with Runtime(store, model) as one, Runtime(store, model) as two:
            with Recorder(paths[0], "one") as first, Recorder(paths[1], "two") as second:
                # In two orders: at its very place in the stream a command is known without memory.
                await asyncio.gather(
                    *[Commander(one, first, work).send(task) for task in keyed],
                    *[Commander(two, second, work).send(task) for task in reversed(keyed)],
                )
        violations = check(recorded(paths), await log_of(store))

    assert "duplicate" in {violation.kind for violation in violations}
