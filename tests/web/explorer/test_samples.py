"""Looking once for many, and how fast a number grows."""

import asyncio
from collections.abc import Iterator

import pytest

from whence.web.explorer.bars import bars
from whence.web.explorer.samples import Pace, Sampled


async def test_many_who_ask_at_once_share_one_look() -> None:
    looks = 0

    async def look() -> int:
        nonlocal looks
        looks += 1
        await asyncio.sleep(0)
        return looks

    kept = Sampled(look, every=3600)
    assert await asyncio.gather(*[kept.get() for _ in range(50)]) == [1] * 50
    assert await Sampled(look, every=0).get() == 2


async def test_a_look_that_fails_is_tried_again_by_the_next_one() -> None:
    answers: Iterator[ValueError | str] = iter([ValueError("no"), "yes"])

    async def look() -> str:
        answer = next(answers)
        if isinstance(answer, ValueError):
            raise answer
        return answer

    kept = Sampled(look, every=3600)
    with pytest.raises(ValueError, match="no"):
        await kept.get()
    assert await kept.get() == "yes"


def test_a_pace_is_the_growth_over_its_readings() -> None:
    pace = Pace(window=2)
    assert pace.per_second is None
    for at, number in [(0.0, 0), (1.0, 10), (3.0, 30), (4.0, 70)]:
        pace.add(number, at)
    assert pace.per_second == pytest.approx(20.0)
    assert pace.steps == [10.0, 40.0]


def test_a_pace_begins_anew_when_nobody_has_looked_for_long() -> None:
    pace = Pace(window=10, gap=5)
    pace.add(0, 0.0)
    pace.add(1_000, 6.0)
    assert pace.per_second is None
    pace.add(1_003, 7.0)
    assert pace.per_second == pytest.approx(3.0)


def test_bars_fill_their_picture_from_the_right() -> None:
    found = bars([0, 1, 4], places=4, top=2)
    assert found[0].x == pytest.approx(found[1].x - found[0].x)
    assert found[-1].x + found[-1].width == pytest.approx(1)
    assert [bar.height for bar in found] == [0, 0.25, 1]
    assert all(bar.y + bar.height == 1 for bar in found)


def test_a_small_number_beside_a_large_one_can_still_be_seen() -> None:
    small, _ = bars([1, 1_000_000])
    assert small.height > 0.05
    assert bars([]) == []
