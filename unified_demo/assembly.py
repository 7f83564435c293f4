"""The only place where the model and the experts meet: settings in, an Engine out. Nothing is loaded here.

The profile's own model and experts are imported only when they are needed.
"""

import shutil
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path

from unified_demo.config import Settings
from unified_demo.engine import Engine, LanguageBackend
from unified_demo.experts.base import ExpertSpec
from unified_demo.experts.registry import ExpertRegistry
from unified_demo.media import MediaStore
from unified_demo.router import Router
from unified_demo.zoo import Zoo


def load_engine(
    settings: Settings | None = None,
    model: LanguageBackend | None = None,
    experts: Sequence[ExpertSpec] | None = None,
) -> Engine:
    """An engine for ``settings``; returns at once, weights load at the first turn or with ``engine.load()``.

    ``model`` and ``experts`` replace the profile's own (``experts=()``: none is offered). Without ``media_dir`` the
    pictures live in a temporary folder that goes when the engine goes.
    """
    settings = settings or Settings()
    if model is None or experts is None:
        zoo = Zoo(settings.cache_dir, settings.weights_dir)
        experts = _own_experts(zoo) if experts is None else experts
        model = _own_model(settings, zoo, tuple(spec.task for spec in experts)) if model is None else model
    registry = ExpertRegistry(experts, int(settings.max_memory_gb * 2**30))
    root = settings.media_dir or Path(tempfile.mkdtemp(prefix="unified_demo-"))
    engine = Engine(model, Router(registry), MediaStore(root), settings)
    if settings.media_dir is None:
        weakref.finalize(engine, shutil.rmtree, root, ignore_errors=True)
    return engine


def _own_model(settings: Settings, zoo: Zoo, tasks: tuple[str, ...]) -> LanguageBackend:
    from unified_demo.model.backend import load_multimodal_lm

    return load_multimodal_lm(settings, zoo, tasks)


def _own_experts(zoo: Zoo) -> Sequence[ExpertSpec]:
    from unified_demo.experts import region_editing, restyling, segmentation

    return tuple(spec for module in (segmentation, restyling, region_editing) for spec in module.build_specs(zoo))
