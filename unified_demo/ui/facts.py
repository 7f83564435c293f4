"""What is said of an array of data in one line: what it was taken for, its shape, its range, how long it is.

Numbers come from ``Artefact.facts`` (made by ``signals.py``, but also from imported conversations: nothing here trusts their shape).
"""

from collections.abc import Sequence

from markupsafe import Markup

from unified_demo.grammar import MediaKind
from unified_demo.messages import Artefact
from unified_demo.ui.words import say


def kind_words(kind: MediaKind) -> str:
    """What a kind of data is called."""
    return {
        MediaKind.POINTS: say("point cloud"),
        MediaKind.DEPTH: say("depth map"),
        MediaKind.NORMALS: say("surface normals"),
        MediaKind.IMU: say("motion (IMU)"),
        MediaKind.FMRI: say("brain activity (fMRI)"),
    }[kind]


def facts_of(artefact: Artefact) -> list[str]:
    """Shape, range, duration and what was left out, each in a few words."""
    facts = artefact.facts
    told: list[str] = []
    if points := facts.get("points"):
        told.append(say("1 point") if points == 1 else say("{n} points", n=_number(points)))
    if samples := facts.get("samples"):
        told.append(say("{n} samples", n=_number(samples)))
    if sides := _numbers(facts.get("shape")):
        told.append(" × ".join(sides) if len(sides) > 1 else say("{n} voxels", n=sides[0]))
    if artefact.duration_s:
        told.append(f"{artefact.duration_s:.1f} s")
    if sides := _numbers(facts.get("extent")):
        told.append(say("extent {sides}", sides=" × ".join(sides)))
    if "low" in facts and artefact.kind != MediaKind.DEPTH:
        told.append(_between(facts.get("low"), facts.get("high")))
    told += [f"{words} {_between(*span)}" for words, span in _spans(artefact)]
    if isinstance(holes := facts.get("holes"), int | float) and holes:
        told.append(say("{share} without a value", share=f"{max(holes, 0.001):.1%}"))
    if left_out := facts.get("left_out"):
        told.append(say("{n} points without a place left out", n=_number(left_out)))
    return told


def facts_html(artefact: Artefact) -> Markup:
    """The line below a preview; of depth, the colours of near and far."""
    low, high = _number(artefact.facts.get("low")), _number(artefact.facts.get("high"))
    scale = (
        Markup('<span class="um-scale" title="{}"><small>{}</small><i></i><small>{}</small></span>').format(
            say("near is bright, far is dark"), low, high
        )
        if artefact.kind == MediaKind.DEPTH
        else Markup("")
    )
    words = [kind_words(artefact.kind), *facts_of(artefact)]
    return Markup("{}{}").format(Markup("").join(Markup("<span>{}</span>").format(word) for word in words), scale)


def _spans(artefact: Artefact) -> list[tuple[str, Sequence[object]]]:
    found = ((say("acceleration"), artefact.facts.get("acceleration")), (say("rotation"), artefact.facts.get("rotation")))
    return [(words, span) for words, span in found if isinstance(span, list | tuple) and len(span) == 2]


def _between(low: object, high: object) -> str:
    return f"{_number(low)} – {_number(high)}"


def _numbers(values: object) -> list[str]:
    return [_number(value) for value in values] if isinstance(values, list | tuple) else []


def _number(value: object) -> str:
    """Whole numbers with commas, others with four digits."""
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.4g}" if isinstance(value, float) else str(value)
