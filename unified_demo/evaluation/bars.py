"""Grouped horizontal bars as an SVG text that reads on light and dark pages. Pure: the same figures give the same file."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, LEFT, RIGHT, LINE, TOP = 860, 300, 70, 18, 48
COLOURS = ("#3b82c4", "#d08a2e", "#5a9e54", "#a45fb0", "#8a8f98", "#c4513b")
INK = "#7a7f87"


@dataclass(frozen=True)
class Bar:
    """One bar; ``aim`` draws a mark at that value."""

    group: str
    system: str
    value: float
    aim: float | None = None


def draw_bars(bars: Sequence[Bar], title: str) -> str:
    """The scale runs from 0 to 1, or to the largest value or aim when that is more."""
    most = max([1.0, *(bar.value for bar in bars), *(bar.aim for bar in bars if bar.aim is not None)])
    colours = {system: COLOURS[place % len(COLOURS)] for place, system in enumerate(dict.fromkeys(bar.system for bar in bars))}
    scale = (WIDTH - LEFT - RIGHT) / most
    body, y, last = [], TOP, ""
    for bar in bars:
        if bar.group != last:
            y += 6
            body.append(_text(LEFT - 8, y + 13, bar.group, "end"))
            last = bar.group
        body.append(
            f'<rect x="{LEFT}" y="{y + 3}" width="{max(bar.value, 0) * scale:.1f}" height="{LINE - 5}" fill="{colours[bar.system]}"/>'
        )
        body.append(_text(LEFT + max(bar.value, 0) * scale + 5, y + 13, f"{bar.value:.3f}", "start"))
        if bar.aim is not None:
            x = LEFT + bar.aim * scale
            body.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y}" y2="{y + LINE}" stroke="#d33" stroke-width="2"/>')
        y += LINE
    legend, x = [], LEFT
    for system, colour in colours.items():
        legend.append(f'<rect x="{x}" y="30" width="10" height="10" fill="{colour}"/>{_text(x + 14, 39, system, "start")}')
        x += 30 + 7 * len(system)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y + 12}" font-family="sans-serif" font-size="12">'
    return "\n".join([head, _text(10, 18, title, "start"), *legend, *body, "</svg>", ""])


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{INK}">{escape(text)}</text>'
