"""The models that benchmarks ask: ours as trained, ours with adapters at their start, the frozen language model, the engine.

Each is loaded once, on first use, and shared by the benchmarks of a run. Tests pass scripted ones. Nothing is measured here.
"""

from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from unified_demo.assembly import load_engine
from unified_demo.config import Settings
from unified_demo.engine import Engine, LanguageBackend
from unified_demo.fakes import ScriptedModel
from unified_demo.grammar import TASK_TAGS, TASKS, TaskSpec
from unified_demo.zoo import Zoo

if TYPE_CHECKING:
    from unified_demo.evaluation.frozen import FrozenModel
    from unified_demo.evaluation.image_metrics import Look
    from unified_demo.evaluation.retention import Comparer
    from unified_demo.evaluation.symbolic import SymbolicModel
    from unified_demo.evaluation.systems import Finder
    from unified_demo.model.tiny import LazyModel


class Subjects(Protocol):
    """``trained`` and ``untrained`` offer all ten tasks, whether they have experts or not, for routing is about the decision.

    ``engine`` is the product as it runs: only tasks with experts are offered. ``untrained_engine`` is the same with untrained
    adapters, ``router_only`` the same without a model.
    """

    def trained(self) -> LanguageBackend: ...

    def symbolic(self) -> LanguageBackend:
        """As ``trained``; its attribute ``scenes``, where it has one, takes scenes by artefact id."""
        ...

    def with_plugins(self, plugins: tuple[TaskSpec, ...]) -> LanguageBackend:
        """As ``symbolic``, with the tasks of plug-ins beside the ten."""
        ...

    def untrained(self) -> LanguageBackend: ...

    def frozen(self) -> "FrozenModel": ...

    def engine(self) -> Engine: ...

    def untrained_engine(self) -> Engine: ...

    def router_only(self) -> Engine: ...

    def comparer(self) -> "Comparer": ...

    def detector(self) -> "Finder": ...

    def look(self) -> "Look":
        """The frozen image encoder as a function of pictures."""
        ...


class LoadedSubjects:
    """The real ones. All raise ModelLoadError when weights are missing."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._extended: dict[tuple[TaskSpec, ...], LanguageBackend] = {}

    def trained(self) -> LanguageBackend:
        return self._trained

    def symbolic(self) -> LanguageBackend:
        return self._symbolic

    def with_plugins(self, plugins: tuple[TaskSpec, ...]) -> LanguageBackend:
        from unified_demo.evaluation.symbolic import SymbolicModel
        from unified_demo.model.tiny import load_multimodal_lm

        if plugins not in self._extended:
            model = load_multimodal_lm(self._settings, self._zoo, (*TASKS.values(), *plugins)).model
            self._extended = {plugins: SymbolicModel(model)}
        return self._extended[plugins]

    def untrained(self) -> LanguageBackend:
        return self._untrained

    def frozen(self) -> "FrozenModel":
        return self._frozen

    def engine(self) -> Engine:
        return self._engine

    def untrained_engine(self) -> Engine:
        return self._untrained_engine

    def router_only(self) -> Engine:
        return self._router_only

    def comparer(self) -> "Comparer":
        from unified_demo.evaluation.frozen import PairComparer

        return PairComparer(self._frozen, lambda system: self._trained.model if system == "model" else self._untrained)

    def detector(self) -> "Finder":
        from unified_demo.model.detection import Detector

        return Detector(self._zoo.path("detector"))

    def look(self) -> "Look":
        return self._look

    @cached_property
    def _look(self) -> "Look":
        from PIL import Image

        from unified_demo.model.tiny import load_perception
        from unified_demo.model.vision import GRID

        encoder = load_perception(self._settings, self._zoo).encoder
        return lambda pixels: encoder.encode([Image.fromarray(pixels)])[0][1:].view(GRID, GRID, -1).numpy()

    @cached_property
    def _trained(self) -> "LazyModel":
        from unified_demo.model.tiny import load_multimodal_lm

        model = load_multimodal_lm(self._settings, self._zoo, tuple(TASKS.values()))
        model.load()
        return model

    @cached_property
    def _symbolic(self) -> LanguageBackend:
        from unified_demo.evaluation.symbolic import SymbolicModel

        return SymbolicModel(self._trained.model)

    @cached_property
    def _untrained(self) -> "SymbolicModel":
        from unified_demo.evaluation.frozen import load_untrained
        from unified_demo.evaluation.symbolic import SymbolicModel

        return SymbolicModel(load_untrained(self._settings, self._zoo, TASK_TAGS))

    @cached_property
    def _frozen(self) -> "FrozenModel":
        from unified_demo.evaluation.frozen import load_frozen

        return load_frozen(self._settings, self._zoo)

    @cached_property
    def _engine(self) -> Engine:
        engine = load_engine(self._settings)
        engine.load()
        return engine

    @cached_property
    def _untrained_engine(self) -> Engine:
        from unified_demo.evaluation.frozen import load_untrained
        from unified_demo.evaluation.symbolic import SymbolicModel

        model = load_untrained(self._settings, self._zoo, self._router_only.tasks())
        return load_engine(self._settings, SymbolicModel(model))

    @cached_property
    def _router_only(self) -> Engine:
        return load_engine(self._settings, ScriptedModel(()))

    @cached_property
    def _zoo(self) -> Zoo:
        return Zoo(self._settings.cache_dir, self._settings.weights_dir)
