"""All benchmarks by name, built when asked for. The order is that of ``run all`` and of the report."""

from unified_demo.evaluation.benchmark import Benchmark


def benchmarks() -> dict[str, Benchmark]:
    """Importing them loads no network."""
    from unified_demo.evaluation.captioning import Captioning
    from unified_demo.evaluation.layout import Layout
    from unified_demo.evaluation.referring_benchmark import Reasoning, Referring
    from unified_demo.evaluation.retention import RetentionBenchmark
    from unified_demo.evaluation.routing import Routing

    known: tuple[Benchmark, ...] = (Routing(), Referring(), Reasoning(), Layout(), Captioning(), RetentionBenchmark())
    return {benchmark.name: benchmark for benchmark in known}
