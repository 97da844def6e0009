"""The page of an aggregate: what it was at any version or moment, and why."""

import msgspec
import pytest

from tests.web.client import Client
from tests.web.explorer.domain import NOON, Flagged, Opened, Renamed, append
from tests.web.explorer.html import Html, page
from whence.store.append import Append, NewEvent
from whence.store.eventstore import EventStore
from whence.store.ids import StreamId
from whence.store.metadata import Metadata
from whence.store.registry import Encoded

ORDER = "/explorer/aggregates/order/42"
ACCOUNT = StreamId("account", "7")
PAGE = "/explorer/aggregates/account/7"


async def test_the_newest_state_shows_what_its_event_changed(client: Client) -> None:
    await client.cancelled("42")
    found = await page(client, ORDER)

    assert "State after version 2" in found.text
    assert 'status "cancelled" was "pending"' in found.text
    assert 'reason "out of stock" was ""' in found.text
    assert 'user_id "ada"' in found.text
    assert len(found.of("tr", **{"class": "changed"})) == 2
    assert "by grace: out of stock" in found.text


async def test_an_older_version_shows_the_state_then(client: Client) -> None:
    await client.cancelled("42")
    found = await page(client, f"{ORDER}?version=1")

    assert "State after version 1" in found.text
    assert 'status "pending" was "new"' in found.text
    assert "1 newer version" in found.text
    assert found.links["Newest"] == f"{ORDER}?"
    (slider,) = found.of("input", type="range", name="version")
    assert (slider["min"], slider["max"], slider["value"]) == ("1", "2", "1")


@pytest.mark.parametrize(
    ("moment", "version"),
    [
        ("2026-01-31T12:00:00", 1),
        ("2026-01-31T12:01:59.999Z", 2),
        ("2026-01-31T13:02:00%2B01:00", 3),
        ("2030-01-01", 3),
    ],
)
async def test_a_moment_shows_the_version_of_then(
    accounts: Client, store: EventStore, moment: str, version: int
) -> None:
    await append(store, ACCOUNT, [Opened("a"), Renamed("b"), Renamed("c")], at=NOON)
    found = await page(accounts, f"{PAGE}?at={moment}")
    assert f"State after version {version}" in found.text


async def test_a_moment_stays_where_it_was_put(accounts: Client, store: EventStore) -> None:
    await append(store, ACCOUNT, [Opened("a"), Renamed("b")], at=NOON)
    moment = int(NOON.timestamp() + 30) * 1000
    found = await page(accounts, f"{PAGE}?ms={moment}")
    assert found.of("input", type="range", name="ms")[0]["value"] == str(moment)
    again = await page(accounts, found.links["owner"])
    assert again.of("input", type="range", name="ms")[0]["value"] == str(moment)
    assert "Why is owner what it is?" in again.text


async def test_moments_before_1970_have_a_slider_too(accounts: Client, store: EventStore) -> None:
    before = NOON.replace(year=1869)
    await append(store, ACCOUNT, [Opened("a"), Renamed("b")], at=before)
    (slider,) = (await page(accounts, PAGE)).of("input", type="range", name="ms")
    assert "version 1" in (await page(accounts, f"{PAGE}?ms={slider['min']}")).text


async def test_both_ends_of_the_slider_of_moments_are_versions(
    accounts: Client, store: EventStore
) -> None:
    await append(store, ACCOUNT, [Opened("a"), Renamed("b"), Renamed("c")], at=NOON)
    (slider,) = (await page(accounts, PAGE)).of("input", type="range", name="ms")

    assert "version 1" in (await page(accounts, f"{PAGE}?ms={slider['min']}")).text
    assert "version 3" in (await page(accounts, f"{PAGE}?ms={slider['max']}")).text
    assert int(slider["value"]) == int(NOON.timestamp() + 120) * 1000


async def test_a_field_tells_its_history(client: Client) -> None:
    await client.cancelled("42")
    found = await page(client, f"{ORDER}?field=status")

    why = found.text.partition("Why is status what it is?")[2].partition("Timeline")[0]
    assert 'Today it is "cancelled"' in why
    assert why.index('"new" → became "pending"') < why.index('"pending" → became "cancelled"')
    assert "version 2 OrderCancelled" in why
    assert "by grace out of stock" in why
    assert found.of("a", id="field-status")[0]["aria-current"] == "true"


async def test_a_field_that_nothing_has_changed(client: Client) -> None:
    await client.placed("42")
    assert "no event has changed it" in (await page(client, f"{ORDER}?field=carrier")).text


async def test_what_caused_it_is_followed_across_aggregates(
    accounts: Client, store: EventStore
) -> None:
    case, second = StreamId("case", "9"), StreamId("case", "10")
    await append(store, second, [Flagged("a letter", "grace")])
    await append(store, case, [Flagged("too often")], metadata=Metadata(causation_id=f"{second}@1"))
    told = Metadata(
        who="ada",
        reason="asked to",
        correlation_id="story-1",
        causation_id=f"{case}@1",
        notes={"ticket": "T-1"},
    )
    await append(store, ACCOUNT, [Opened("a")], metadata=told)

    found = await page(accounts, f"{PAGE}?field=owner")

    why = found.text.partition("Why is owner")[2].partition("Timeline")[0]
    assert "by ada asked to ticket T-1" in why
    assert "story story-1" in why
    assert why.index("because of case/9, version 1") < why.index("because of case/10, version 1")
    assert "too often" in why
    assert "by grace a letter" in why
    assert found.links["case/9, version 1"] == "/explorer/aggregates/case/9?version=1"
    await page(accounts, found.links["case/9, version 1"])


@pytest.mark.parametrize(
    "causation",
    ["a-command.7", "case/9@4", "nothing/9@1", "case/{9}@1", "case/9", "case/9@0", "<b>x</b>"],
)
async def test_a_cause_that_is_no_event_here_is_named_as_it_is(
    accounts: Client, store: EventStore, causation: str
) -> None:
    await append(store, ACCOUNT, [Opened("a")], metadata=Metadata(causation_id=causation))
    found = await page(accounts, f"{PAGE}?field=owner")
    assert f"caused by {causation}" in found.text
    assert "because of" not in found.text


async def test_causes_in_a_circle_end(accounts: Client, store: EventStore) -> None:
    case = StreamId("case", "9")
    await append(store, case, [Flagged("x")], metadata=Metadata(causation_id=f"{ACCOUNT}@1"))
    await append(store, ACCOUNT, [Opened("a")], metadata=Metadata(causation_id=f"{case}@1"))
    found = await page(accounts, f"{PAGE}?field=owner")
    assert found.text.count("because of") == 2


HOSTILE = '"><script>alert(1)</script>\u202e\x00{{ 7*7 }}'


async def test_hostile_text_stays_text(accounts: Client, store: EventStore) -> None:
    case = StreamId("case", "9")
    told = Metadata(
        who=HOSTILE, correlation_id=HOSTILE, causation_id=HOSTILE, notes={HOSTILE: HOSTILE}
    )
    await append(store, case, [Flagged(HOSTILE, HOSTILE)], metadata=told)

    found = await page(accounts, "/explorer/aggregates/case/9?field=status")

    assert [a for a in found.of("script") if "src" not in a] == []
    assert "<script>alert(1)</script>" in found.text
    assert "\u202e" not in found.source
    assert "\x00" not in found.source
    assert "{{ 7*7 }}" in found.text


async def test_a_long_value_is_cut(accounts: Client, store: EventStore) -> None:
    await append(store, ACCOUNT, [Opened("x" * 500_000)])
    found = await page(accounts, f"{PAGE}?field=owner")
    assert len(found.source) < 20_000
    assert "(500,002 characters)" in found.text


async def test_an_aggregate_of_10_000_events_is_shown_in_pages(
    accounts: Client, store: EventStore
) -> None:
    for first in range(0, 10_000, 500):
        await append(store, ACCOUNT, [Renamed(f"n{n}") for n in range(500)], expected=first)

    newest = await page(accounts, f"{PAGE}?field=owner")
    assert _versions(newest) == list(range(10_000, 9_950, -1))
    assert "10,000 events" in newest.text
    assert "9,950 earlier changes not shown" in newest.text
    assert len(newest.source) < 250_000

    older = await page(accounts, newest.links["Older events"])
    assert _versions(older) == list(range(9_950, 9_900, -1))
    assert "State after version 10,000" in older.text

    middle = await page(accounts, f"{PAGE}?version=5001")
    assert _versions(middle) == list(range(5_050, 5_000, -1))
    assert "names 5001 was 5000" in middle.text
    assert _versions(await page(accounts, f"{PAGE}?version=1&page=999")) == _versions(newest)


def _versions(found: Html) -> list[int]:
    return [
        int(a["id"].removeprefix("version-")) for a in found.of("a") if a.get("class") == "version"
    ]


async def test_an_event_that_no_class_reads_is_shown_with_the_reason(
    accounts: Client, store: EventStore
) -> None:
    await append(store, ACCOUNT, [Opened("a")])
    strange = Encoded("Vanished", 3, b'{"x":1}', Opened("a"))
    await store.append(Append(ACCOUNT, 1, "c-2", [NewEvent(strange)]))

    found = await page(accounts, f"{PAGE}?field=owner", 500)

    assert "The state cannot be shown" in found.text
    assert "Vanished schema 3" in found.text
    assert "State after version 1" in (await page(accounts, f"{PAGE}?version=1")).text


@pytest.mark.parametrize(
    ("path", "status", "sentence"),
    [
        ("order/none", 404, "order/none does not exist"),
        ("order/42?version=3", 404, "order/42 has no version 3; its versions are 1 to 2"),
        ("order/42?version=0", 422, "version is a whole number from 1"),
        ("order/42?version=1&at=2026-01-01", 422, "either a version or a moment"),
        ("order/42?at=2000-01-01", 404, "order/42 did not exist at 2000"),
        ("order/42?at=yesterday", 422, "'yesterday' is not a moment"),
        ("order/42?ms=999999999999999", 422, "ms is a moment in milliseconds since 1970"),
        ("order/42?ms=soon", 422, "ms is a moment in milliseconds since 1970"),
        ("order/42?field=colour", 404, "order has no field 'colour'"),
        ("order/42?field=<script>", 404, "order has no field '<script>'"),
        ("nothing/42", 404, "there is no aggregate 'nothing'"),
        ("order/%3Cb%3E", 422, "'<b>' is not a valid id"),
        ("order/4%2F2", 422, "'4/2' is not a valid id"),
    ],
)
async def test_what_cannot_be_shown_gets_a_page_with_its_status(
    client: Client, path: str, status: int, sentence: str
) -> None:
    await client.cancelled("42")
    found = await page(client, f"/explorer/aggregates/{path}", status)
    assert sentence in found.text
    assert found.of("main")


async def test_the_slider_asks_for_the_part_that_moves(client: Client) -> None:
    await client.cancelled("42")
    moved = {"hx-request": "true", "hx-target": "then"}
    response = await client.get(f"{ORDER}?version=1&field=status", headers=moved)

    part = Html(response.text)
    assert part.tags[0] == ("div", part.of("div", id="then")[0])
    assert not part.of("main")
    assert response.headers["hx-replace-url"] == f"{ORDER}?version=1&field=status"
    fields = part.of("input", type="hidden", name="field", value="status")
    assert {one["form"] for one in fields} == {"by-version", "by-moment", "by-clock"}


async def test_a_slider_at_its_end_follows_what_comes(client: Client) -> None:
    await client.cancelled("42")
    response = await client.get(f"{ORDER}?version=2", headers={"hx-request": "true"})
    assert response.headers["hx-replace-url"] == ORDER
    assert "new ones appear by themselves" in response.text
    assert "new ones appear" not in (await page(client, f"{ORDER}?version=2")).text


async def test_values_are_what_the_api_says(client: Client) -> None:
    await client.placed("42")
    state = (await client.document("/orders/42"))["state"]
    text = (await page(client, ORDER)).text
    for name, value in state.items():
        shown = msgspec.json.format(msgspec.json.encode(value), indent=0).decode()
        assert f"{name} {shown}" in text
