"""Small charts as SVG text that follow the page's colours, light or dark: bars, columns, a heat map, a strip of shares.

Pure: the same figures give the same text. It knows nothing of what is drawn.
"""

from collections.abc import Mapping, Sequence
from html import escape

WIDTH = 640
LINE, LABEL, VALUE = 22, 150, 70
COLUMNS_HIGH, FOOT = 190, 34
CELL = 30


def bars(values: Mapping[str, float], unit: str = "") -> str:
    """Horizontal bars in the given order, each with its value."""
    most = max([*values.values(), 1e-9])
    room = WIDTH - LABEL - VALUE
    rows = []
    for place, (name, value) in enumerate(values.items()):
        y = place * LINE
        rows.append(_text(LABEL - 8, y + 15, name, "end"))
        rows.append(f'<rect class="bar" x="{LABEL}" y="{y + 4}" width="{room * value / most:.1f}" height="{LINE - 8}" rx="2"/>')
        rows.append(_text(LABEL + room * value / most + 6, y + 15, f"{_number(value)}{unit}", "start", "soft"))
    return _svg(WIDTH, len(values) * LINE + 4, rows)


def columns(values: Mapping[str, float], label: str) -> str:
    """Columns side by side with the name below each (some names are left out when they would collide) and a label of the axis."""
    most = max([*values.values(), 1e-9])
    step = (WIDTH - 20) / max(1, len(values))
    every = max(1, -(-len(values) * 34 // WIDTH))
    rows = [f'<line class="axis" x1="10" x2="{WIDTH - 10}" y1="{COLUMNS_HIGH}" y2="{COLUMNS_HIGH}"/>']
    for place, (name, value) in enumerate(values.items()):
        x, high = 10 + place * step, (COLUMNS_HIGH - 24) * value / most
        rows.append(
            f'<rect class="bar" x="{x + 1:.1f}" y="{COLUMNS_HIGH - high:.1f}" width="{max(1.0, step - 2):.1f}" height="{high:.1f}"/>'
        )
        if place % every == 0:
            rows.append(_text(x + step / 2, COLUMNS_HIGH + 14, name, "middle", "soft"))
        if step >= 40:
            rows.append(_text(x + step / 2, COLUMNS_HIGH - high - 5, _number(value), "middle", "soft"))
    rows.append(_text(WIDTH / 2, COLUMNS_HIGH + FOOT - 4, label, "middle", "soft"))
    return _svg(WIDTH, COLUMNS_HIGH + FOOT, rows)


def heat(names: Sequence[str], counts: Mapping[tuple[str, str], int]) -> str:
    """From each row's name to each column's name; the shade is the share within the row."""
    left, top = 84, 74
    rows = []
    for y, first in enumerate(names):
        total = sum(counts.get((first, second), 0) for second in names)
        rows.append(_text(left - 6, top + y * CELL + 19, first, "end"))
        rows.append(_turned(left + y * CELL + 19, top - 6, first))
        for x, second in enumerate(names):
            share = counts.get((first, second), 0) / total if total else 0.0
            place = f'x="{left + x * CELL}" y="{top + y * CELL}"'
            shade = min(1.0, 0.03 + share * 3)
            rows.append(
                f'<rect class="bar" {place} width="{CELL - 2}" height="{CELL - 2}" rx="2" fill-opacity="{shade:.2f}">'
                f"<title>{escape(first)}, then {escape(second)}: {share:.1%}</title></rect>"
            )
    return _svg(left + len(names) * CELL + 36, top + len(names) * CELL + 4, rows)


def strips(groups: Mapping[str, Sequence[tuple[str, int, bool]]]) -> str:
    """One row per group: a column for each (name, count, marked); marked ones are outlines, filled when they were used."""
    high, left = 34, 84
    rows = []
    for place, (group, members) in enumerate(groups.items()):
        base = (place + 1) * (high + 8)
        most = max([count for _, count, _ in members] + [1])
        step = (WIDTH - left - 10) / max(1, len(members))
        rows.append(_text(left - 8, base - 8, group, "end"))
        rows.append(f'<line class="axis" x1="{left}" x2="{WIDTH - 10}" y1="{base}" y2="{base}"/>')
        for index, (name, count, marked) in enumerate(members):
            tall = high if marked else max(1.5, high * count / most)
            style = ("held used" if count else "held") if marked else "bar"
            size = f'width="{max(1.0, step - 1.2):.1f}" height="{tall:.1f}"'
            title = f"{name}: {count}" + (" (held out)" if marked else "")
            rows.append(
                f'<rect class="{style}" x="{left + index * step:.1f}" y="{base - tall:.1f}" {size}><title>{escape(title)}</title></rect>'
            )
    return _svg(WIDTH, len(groups) * (high + 8) + 6, rows)


def _svg(width: float, height: float, rows: Sequence[str]) -> str:
    return f'<svg viewBox="0 0 {width:.0f} {height:.0f}" role="img">' + "".join(rows) + "</svg>"


def _text(x: float, y: float, text: str, anchor: str, style: str = "") -> str:
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _turned(x: float, y: float, text: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" transform="rotate(-60 {x:.1f} {y:.1f})">{escape(text)}</text>'


def _number(value: float) -> str:
    if value >= 1_000_000:
        return f"{value / 1_000_000:.1f}M"
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.1f}" if value >= 1 else f"{value:.2f}"
