"""The estimate of what a state takes, held against what Python allocates."""

import gc
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from examples.orders.domain import Item, Order
from whence.actors.footprint import footprint


class Holder(msgspec.Struct, frozen=True):
    held: Any = ()


@dataclass(slots=False)
class Plain:
    name: str
    size: int


class Node(msgspec.Struct, frozen=True):
    child: "Node | None" = None


def order(seed: int, items: int) -> Order:
    chosen = tuple([Item(f"sku-{seed}-{n}", 300 + n, 1_500 + n) for n in range(items)])
    return Order(user_id=f"user-{seed}", items=chosen, status="pending")


SHAPES: dict[str, Callable[[int], Any]] = {
    "one item": lambda i: order(i, 1),
    "many items": lambda i: order(i, 500),
    "a text": lambda i: Holder(f"{i}" * 2_000),
    "a mapping": lambda i: Holder({f"key-{i}-{n}": 1_000 + n for n in range(200)}),
    "a set": lambda i: Holder(frozenset([f"member-{i}-{n}" for n in range(100)])),
    "lists in lists": lambda i: Holder([[f"{i}-{j}-{k}" for k in range(10)] for j in range(20)]),
    "large items after small ones": lambda i: Holder(
        [f"{i}-{j}-" + "x" * (500 if j > 15 else 1) for j in range(100)]
    ),
    "objects": lambda i: Holder([Plain(f"name-{i}-{j}", 1_000 + j) for j in range(50)]),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_estimate_is_near_the_truth(shape: str) -> None:
    make = SHAPES[shape]
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        states = [make(seed) for seed in range(1_000, 1_050)]
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    estimate = sum(map(footprint, states))

    assert 0.7 < estimate / (after - before) < 1.5


def test_an_untouched_state_takes_next_to_nothing() -> None:
    assert footprint(Order()) < 200


def test_a_state_of_any_depth_has_an_estimate() -> None:
    node = Node()
    for _ in range(100_000):
        node = Node(node)

    assert footprint(node) > 0

    while node.child is not None:  # or Python takes it down recursively
        node = node.child
