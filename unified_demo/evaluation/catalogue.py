"""All benchmarks by name, built when asked for. The order is that of ``run all`` and of the report."""

from unified_demo.evaluation.benchmark import Benchmark


def benchmarks() -> dict[str, Benchmark]:
    """Importing them loads no network."""
    from unified_demo.evaluation.captioning import Captioning
    from unified_demo.evaluation.classification import Classification
    from unified_demo.evaluation.composed import Composed
    from unified_demo.evaluation.drawn_layouts import DrawnLayouts
    from unified_demo.evaluation.editing import Editing
    from unified_demo.evaluation.gates import Gates
    from unified_demo.evaluation.generation import Generation
    from unified_demo.evaluation.layout import Layout
    from unified_demo.evaluation.mmud import Mmud
    from unified_demo.evaluation.references import References
    from unified_demo.evaluation.referring_benchmark import Reasoning, Referring
    from unified_demo.evaluation.removal import RemovalBenchmark
    from unified_demo.evaluation.retention import RetentionBenchmark
    from unified_demo.evaluation.routing import Routing
    from unified_demo.evaluation.sound import Sound
    from unified_demo.evaluation.video import Video
    from unified_demo.evaluation.zero_shot import PluginBenchmark

    known: tuple[Benchmark, ...] = (
        Routing(), PluginBenchmark(), References(), Referring(), Reasoning(), Composed(), Mmud(), Layout(), Captioning(),
        RetentionBenchmark(), Gates(), Generation(), DrawnLayouts(), Editing(), RemovalBenchmark(), Video(), Classification(), Sound(),
    )  # fmt: skip
    return {benchmark.name: benchmark for benchmark in known}
