"""The curve of a run as a picture: loss of words, drift from the frozen model, share of boxes pointed at rightly, speed.

Reads ``curve.jsonl``, writes ``curve.png``; matplotlib is needed (requirements-dev.txt). It trains nothing.
"""

import importlib
import json
from collections.abc import Sequence
from pathlib import Path

from unified_demo.errors import UnifiedError

PANELS = (
    ("words", "loss of words, nats"),
    ("drift", "drift on plain chat, nats"),
    ("point", "pointed at rightly"),
    ("tokens_per_s", "tokens/s"),
)
SMOOTHED = 40
"""Steps in the moving mean."""


def read_curve(path: Path) -> list[dict[str, float]]:
    """The figures of every step in order; a last line that was cut off is left out."""
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            break
    return rows


def smooth(values: Sequence[float], width: int = SMOOTHED) -> list[float]:
    """Mean of the last ``width`` values at each place."""
    return [sum(values[max(0, end - width) : end]) / min(end, width) for end in range(1, len(values) + 1)]


def series(rows: Sequence[dict[str, float]], name: str) -> tuple[list[float], list[float]]:
    """(minutes, values) of the steps that have the figure; pointing counts only where something was pointed at."""
    kept = [row for row in rows if name in row and (name != "point" or row["points"])]
    return [row["minutes"] for row in kept], [row[name] for row in kept]


def draw_curve(folder: Path) -> Path:
    """``folder/curve.jsonl`` -> ``folder/curve.png``: thin the steps, thick their moving mean. Returns the picture's path.

    UnifiedError without matplotlib.
    """
    try:
        drawing = importlib.import_module("matplotlib.figure")
    except ImportError as exc:
        raise UnifiedError("The picture of a curve needs matplotlib; install it with 'pip install matplotlib'.") from exc
    rows = read_curve(folder / "curve.jsonl")
    figure = drawing.Figure(figsize=(10, 6), layout="constrained")
    for axes, (name, title) in zip(figure.subplots(2, 2).flat, PANELS, strict=True):
        minutes, values = series(rows, name)
        axes.plot(minutes, values, linewidth=0.5, alpha=0.35)
        axes.plot(minutes, smooth(values), linewidth=1.6)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("minutes", fontsize=8)
        axes.grid(alpha=0.3)
    figure.savefig(folder / "curve.png", dpi=110)
    return folder / "curve.png"
