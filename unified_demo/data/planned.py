"""A scene together with the plan that it shows: what the things are, and how their picture can be composed.

A pure value; plans are drawn in ``plans`` and composed in ``compose``.
"""

from dataclasses import dataclass

from unified_demo.data.plans import ScenePlan
from unified_demo.data.scenes import Scene


@dataclass(frozen=True)
class PlannedScene(Scene):
    """``plan`` is None where a picture was not planned with cut-outs."""

    plan: ScenePlan | None = None
