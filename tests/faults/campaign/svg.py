"""A picture of something over time, as SVG: a line, and a mark where something happened."""

from collections.abc import Sequence
from typing import NamedTuple

WIDTH, HEIGHT = 720, 260
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 40, 40
# Lines across, from 0 to the largest value.
RULES = 4


class Mark(NamedTuple):
    """Something that happened ``at`` a second."""

    at: float
    text: str


def picture(
    title: str, unit: str, points: Sequence[tuple[float, float]], marks: Sequence[Mark]
) -> str:
    """The SVG of points (seconds, value)."""
    end = max(at for at, _ in points)
    most = max(value for _, value in points) or 1.0

    def x(at: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * at / end

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / most

    line = " ".join(f"{x(at):.1f},{y(value):.1f}" for at, value in points)
    rules = [most * number / RULES for number in range(RULES + 1)]
    seconds = [end * number / RULES for number in range(RULES + 1)]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
            'font-family="sans-serif" font-size="12">',
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
            f'<text x="{LEFT}" y="18" font-size="14">{title}</text>',
            *(
                f'<path d="M{LEFT} {y(value):.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>'
                f'<text x="{LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:,.0f} '
                f"{unit}</text>"
                for value in rules
            ),
            *(
                f'<text x="{x(at):.1f}" y="{HEIGHT - 16}" text-anchor="middle">{at:g} s</text>'
                for at in seconds
            ),
            *(
                f'<path d="M{x(mark.at):.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#c33" '
                'stroke-dasharray="4 3"/>'
                f'<text x="{x(mark.at) + 4:.1f}" y="{TOP - 6}" fill="#c33">{mark.text}</text>'
                for mark in marks
            ),
            f'<polyline points="{line}" fill="none" stroke="#247" stroke-width="1.5"/>',
            "</svg>",
            "",
        ]
    )
