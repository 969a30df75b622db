"""Plots as plain SVG: lines over a linear or doubling axis, with a title and words for a reader."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log2, log10

Point = tuple[float, float]

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 84, 24, 52, 92
TICKS_MAX = 8
LOOKS = (
    ("#1b5e9b", ""),
    ("#b3400a", "7 4"),
    ("#2e7d32", "2 3"),
    ("#6a1b9a", "10 3 2 3"),
)
"""A colour and a dash each: no line is told from another by its colour alone."""
FONT = "font-family='system-ui, sans-serif' font-size='13'"


@dataclass(frozen=True)
class Axis:
    """Where a value lies between 0 and 1, and which values are written beside the axis."""

    place: Callable[[float], float]
    ticks: Sequence[float]


def lines(
    title: str, x: str, y: str, series: Mapping[str, Sequence[Point]], doubling: bool = False
) -> str:
    """A whole SVG document. `doubling`: the x axis is logarithmic. Raises ValueError for nothing
    to draw, or more series than there are looks."""
    points = [point for found in series.values() for point in found]
    if not points or len(series) > len(LOOKS):
        raise ValueError("a plot has 1 to 4 series and at least one point")
    across = _doubling([px for px, _ in points]) if doubling else _linear([px for px, _ in points])
    up = _linear([0.0, *(py for _, py in points)])
    parts = [*_frame(title, x, y, _told(series, x, y)), *_grid(across, up)]
    for number, (name, found) in enumerate(series.items()):
        parts += _line(number, name, sorted(found), across, up)
    return "\n".join([*parts, "</svg>", ""])


def number(value: float) -> str:
    """As people read it: 12,300 and 0.52, never 12345.6789."""
    size = abs(value)
    if size >= 10_000:
        return f"{round(value, -2):,.0f}"
    if size >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 10 else f"{value:.2f}"


def _told(series: Mapping[str, Sequence[Point]], x: str, y: str) -> str:
    """The plot in words, for those who do not see it."""
    said = [
        f"{name}: " + ", ".join(f"{number(py)} at {number(px)}" for px, py in _some(sorted(found)))
        for name, found in series.items()
    ]
    return f"{y} by {x}. " + ". ".join(said) + "."


def _some(found: Sequence[Point]) -> Sequence[Point]:
    step = ceil(len(found) / TICKS_MAX) or 1
    return found[::step]


def _linear(values: Sequence[float]) -> Axis:
    low, high = min(values), max(values)
    if low == high:
        low, high = min(0.0, low), max(1.0, high)
    step = _round_step((high - low) / TICKS_MAX)
    first, last = floor(low / step), ceil(high / step)
    bottom, height = first * step, (last - first) * step
    return Axis(lambda value: (value - bottom) / height, [n * step for n in range(first, last + 1)])


def _round_step(step: float) -> float:
    size = 10.0 ** floor(log10(step))
    return next(size * factor for factor in (1, 2, 5, 10) if size * factor >= step * 0.999)


def _doubling(values: Sequence[float]) -> Axis:
    """Ticks at the values themselves."""
    ticks = sorted(set(values))
    low, width = log2(ticks[0]), (log2(ticks[-1]) - log2(ticks[0])) or 1.0
    return Axis(lambda value: (log2(value) - low) / width, ticks)


def _x(share: float) -> float:
    return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)


def _y(share: float) -> float:
    return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)


def _frame(title: str, x: str, y: str, told: str) -> list[str]:
    middle = (TOP + HEIGHT - BOTTOM) / 2
    return [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {HEIGHT}' role='img' "
        f"aria-labelledby='title desc' {FONT}>",
        f"<title id='title'>{escape(title)}</title>",
        f"<desc id='desc'>{escape(told)}</desc>",
        f"<rect width='{WIDTH}' height='{HEIGHT}' fill='#ffffff'/>",
        f"<text x='{LEFT}' y='28' font-size='16' fill='#111'>{escape(title)}</text>",
        f"<text x='{_x(0.5)}' y='{HEIGHT - BOTTOM + 42}' text-anchor='middle' fill='#333'>"
        f"{escape(x)}</text>",
        f"<text x='18' y='{middle}' text-anchor='middle' fill='#333' "
        f"transform='rotate(-90 18 {middle})'>{escape(y)}</text>",
    ]


def _grid(across: Axis, up: Axis) -> list[str]:
    parts = []
    for tick in up.ticks:
        at = _y(up.place(tick))
        parts += [
            f"<line x1='{LEFT}' x2='{WIDTH - RIGHT}' y1='{at}' y2='{at}' stroke='#ddd'/>",
            f"<text x='{LEFT - 8}' y='{at + 4}' text-anchor='end' fill='#333'>"
            f"{number(tick)}</text>",
        ]
    for tick in across.ticks:
        at = _x(across.place(tick))
        parts += [
            f"<line x1='{at}' x2='{at}' y1='{_y(0)}' y2='{_y(0) + 5}' stroke='#333'/>",
            f"<text x='{at}' y='{_y(0) + 20}' text-anchor='middle' fill='#333'>"
            f"{number(tick)}</text>",
        ]
    parts.append(
        f"<line x1='{LEFT}' x2='{WIDTH - RIGHT}' y1='{_y(0)}' y2='{_y(0)}' stroke='#333'/>"
    )
    return parts


def _line(place: int, name: str, found: Sequence[Point], across: Axis, up: Axis) -> list[str]:
    colour, dash = LOOKS[place]
    at = [(_x(across.place(px)), _y(up.place(py))) for px, py in found]
    look = f"stroke='{colour}' stroke-width='2'" + (f" stroke-dasharray='{dash}'" if dash else "")
    left = LEFT + place * (WIDTH - LEFT - RIGHT) // len(LOOKS)
    below = HEIGHT - 18
    said = [f"<polyline fill='none' {look} points='{' '.join(f'{px},{py}' for px, py in at)}'/>"]
    if len(at) <= 2 * TICKS_MAX:
        said += [f"<circle cx='{px}' cy='{py}' r='3.5' fill='{colour}'/>" for px, py in at]
    return [
        *said,
        f"<line x1='{left}' x2='{left + 28}' y1='{below - 4}' y2='{below - 4}' {look}/>",
        f"<text x='{left + 34}' y='{below}' fill='#111'>{escape(name)}</text>",
    ]
