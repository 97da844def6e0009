"""The guide shows code that works."""

from typing import Any

from tests.docs.pages import snippets
from whence import Event
from whence.store.upcasting import Upcaster, retired


class Paid(Event):
    paid_by: str


class Seated(Event):
    seat: str


def test_its_upcasters_do_what_it_says() -> None:
    names: dict[str, Any] = {"Event": Event, "Paid": Paid, "Seated": Seated, "retired": retired}
    found: dict[str, Upcaster] = {}
    for block in snippets("docs/evolution.md"):
        if not block.startswith("domain ="):
            exec(block, names)
            found |= {n: one for n, one in names.items() if isinstance(one, Upcaster)}

    assert [data for _, data in found["in_cents"].function({"euros": 3})] == [{"cents": 300}]
    split = list(found["paid_and_seated"].function({"who": "ann", "seat": "4B"}))
    assert split == [(Paid, {"paid_by": "ann"}), (Seated, {"seat": "4B"})]
    assert names["OrderPlaced"].__aliases__ == ("OrderCreated",)
