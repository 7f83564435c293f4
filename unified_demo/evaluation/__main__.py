"""``python -m unified_demo.evaluation run referring --data FOLDER``: runs a benchmark and prints its table.

Exit status 0 when it ran, 2 when it could not (no data, no weights). Results go to ``--out``.
"""

import argparse
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from unified_demo.config import Settings
from unified_demo.errors import UnifiedError
from unified_demo.evaluation import provenance
from unified_demo.evaluation.referring import FREE_EXPRESSIONS
from unified_demo.evaluation.run import collect_targets, report, run_referring
from unified_demo.evaluation.systems import Model, System, Template, WholePicture
from unified_demo.fakes import ScriptedModel

SYSTEMS = ("whole", "template", "model")
MOST_COMPLAINTS = 20


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m unified_demo.evaluation", description=__doc__.splitlines()[0] if __doc__ else None)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="run a benchmark")
    run.add_argument("benchmark", choices=("referring",))
    run.add_argument("--data", type=Path, required=True, help="folder with annotations.json and its pictures")
    run.add_argument("--system", choices=(*SYSTEMS, "all"), default="all", help="what to measure (default: all)")
    run.add_argument("--limit", type=int, help="only the first so many pictures")
    run.add_argument(
        "--expressions", type=Path, default=FREE_EXPRESSIONS, help="free expressions, JSON lines (default: the committed ones)"
    )
    run.add_argument("--out", type=Path, help="folder for JSON and contact sheets (default: runs/referring-<time>)")
    run.add_argument("--verbose", action="store_true", help="log every answer")
    return parser.parse_args(arguments)


def build_systems(names: Sequence[str], settings: Settings) -> list[System]:
    """The systems in the order of ``names``, on one engine, so that picture embeddings are shared. Raises ModelLoadError."""
    from unified_demo.assembly import load_engine
    from unified_demo.model.detection import Detector
    from unified_demo.zoo import Zoo

    systems: list[System] = []
    without_model = None if "model" in names else ScriptedModel(())
    engine = load_engine(settings, without_model) if set(names) != {"whole"} else None
    for name in names:
        if name == "template" and engine:
            path = Zoo(settings.cache_dir, settings.weights_dir).path("detector")
            systems.append(Template(Detector(path), engine.router))
        elif name == "model" and engine:
            engine.load()
            systems.append(Model(engine))
        else:
            systems.append(WholePicture())
    return systems


def main(arguments: Sequence[str] | None = None) -> int:
    chosen = parse(arguments)
    logging.basicConfig(level=logging.INFO if chosen.verbose else logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    out = chosen.out or Path("runs") / time.strftime("referring-%Y%m%d-%H%M%S")
    settings = Settings()
    try:
        targets, complaints = collect_targets(chosen.data, chosen.limit, chosen.expressions)
        systems = build_systems(SYSTEMS if chosen.system == "all" else (chosen.system,), settings)
        facts = {"commit": provenance.commit(), "weights": provenance.weight_hashes(settings), "machine": provenance.machine()}
        summaries, complaints = run_referring(systems, targets, out, facts, complaints)
    except UnifiedError as exc:
        print(exc, file=sys.stderr)
        return 2
    print(report(summaries))
    for complaint in complaints[:MOST_COMPLAINTS]:
        print(f"skipped: {complaint}")
    print(f"{len(targets)} targets, {len(complaints)} skipped entries; rows and contact sheets in {out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
