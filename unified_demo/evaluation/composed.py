"""The benchmark ``composed``: referring expressions and reasoning questions on composed pictures, half of them about held-out objects.

The pictures are those of ``python -m unified_demo.data mmud`` with exact masks. Labels that mean several things at once are left
out and counted, for the measures of this benchmark are those of one box and one mask.
"""

from collections.abc import Iterator

from unified_demo.data.mmud import LINES_FILE, MmudSample, read_mmud
from unified_demo.data.published.reading import Complaints
from unified_demo.evaluation.benchmark import Context, Result, stratified
from unified_demo.evaluation.referring import Target, Thing
from unified_demo.evaluation.referring_benchmark import SYSTEMS, measure
from unified_demo.grammar import Box

FOLDER = "mmud"


class Composed:
    name = "composed"
    title = "Composed pictures: referring and reasoning, held-out and known objects"
    systems = SYSTEMS

    def run(self, context: Context) -> Result:
        """Raises NotReady without the pictures, ModelLoadError without weights."""
        names = context.chosen(self.systems)
        complaints = Complaints()
        samples = list(read_mmud(context.folder(FOLDER, LINES_FILE), complaints))
        targets = [target for sample in samples for target in targets_of(sample)]
        chosen = stratified(targets, lambda target: target.group, context.limit)
        result = measure(names, chosen, [str(item) for item in complaints.found], context)
        result.extra["several_things"] = 2 * len(samples) - len(targets)
        return result


def targets_of(sample: MmudSample) -> Iterator[Target]:
    """The referring expression and the reasoning question of a picture, as far as each means one thing."""
    asked = (
        ("grounding", sample.referring.expression, sample.referring.kind, sample.referring.things),
        ("reasoning", sample.reasoning.question, "question", sample.reasoning.things),
    )
    for group, expression, kind, things in asked:
        if len(things) != 1:
            continue
        meant = sample.things[things[0]]
        part = "" if meant.held_out else ", known"
        box = Box(*meant.box.as_tuple())
        yield Target(sample.picture, expression, Thing(meant.noun, box, (), runs=meant.runs), f"{group}{part}", kind)
