"""Bars of a picture: numbers as heights."""

from collections.abc import Sequence
from typing import NamedTuple

# A number above zero is seen, however large the others are.
_LEAST = 0.06
# How much of its place a bar fills.
_FILLED = 0.8


class Bar(NamedTuple):
    """A bar in a picture of 0 to 1 in both directions; ``y`` is its upper end."""

    x: float
    y: float
    width: float
    height: float


def bars(numbers: Sequence[float], *, places: int = 0, top: float = 0.0) -> list[Bar]:
    """One bar for each number, from left to right.

    Args:
        places: how many bars would fill the picture; those that are missing are missing at the
            left. As many as there are numbers unless given.
        top: the number that reaches the top, if none is higher.
    """
    places = max(places, len(numbers))
    most = max([top, *numbers]) or 1.0
    width = 1 / (max(places, 1) - 1 + _FILLED)  # so that the last bar ends where the picture does
    missing = places - len(numbers)
    found: list[Bar] = []
    for place, number in enumerate(numbers, missing):
        height = max(_LEAST, number / most) if number > 0 else 0.0
        found.append(Bar(place * width, 1 - height, _FILLED * width, height))
    return found
