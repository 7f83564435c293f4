"""The only place where the model and the experts meet: settings in, an Engine out. Nothing is loaded here.

The profile's own model and experts are imported only when they are needed.
"""

import logging
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from unified_demo.config import Settings
from unified_demo.engine import Engine, LanguageBackend
from unified_demo.experts.base import ExpertSpec
from unified_demo.experts.plugins import find_plugins
from unified_demo.experts.registry import ExpertRegistry
from unified_demo.media import MediaStore
from unified_demo.model_facts import ModelFacts, resolve_device
from unified_demo.profiles import GB, read_full, within
from unified_demo.router import Router
from unified_demo.safety import Safety, read_picture_filter
from unified_demo.zoo import Zoo

log = logging.getLogger(__name__)


TINY_MEMORY_GB = 6.0


@dataclass(frozen=True)
class Parts:
    """What a profile is made of. ``speak`` builds the language model for the experts that are offered, loading nothing;
    ``speaker``: what is told of it; ``expert_bytes``: what experts may hold on the device."""

    experts: tuple[ExpertSpec, ...]
    speak: Callable[[Sequence[ExpertSpec]], LanguageBackend]
    speaker: ModelFacts
    expert_bytes: int
    device: str = "cpu"


def load_engine(
    settings: Settings | None = None,
    model: LanguageBackend | None = None,
    experts: Sequence[ExpertSpec] | None = None,
) -> Engine:
    """An engine for ``settings``; returns at once, weights load at the first turn or with ``engine.load()``.

    ``model`` and ``experts`` replace the profile's own and those of plug-ins (``experts=()``: none is offered). Without ``media_dir``
    the pictures live in a temporary folder that goes when the engine goes.
    """
    settings = settings or Settings()
    parts = PROFILE_PARTS[settings.profile](settings, Zoo(settings.cache_dir, settings.weights_dir))
    experts = (*parts.experts, *_plugins()) if experts is None else experts
    speaker = ModelFacts(type(model).__name__) if model else parts.speaker
    if model is None:
        model = _served_model(settings, experts) if settings.server else parts.speak(experts)
    registry = ExpertRegistry(experts, parts.expert_bytes, int(settings.parked_gb * GB), parts.device)
    root = settings.media_dir or Path(tempfile.mkdtemp(prefix="unified_demo-"))
    engine = Engine(model, Router(registry, _safety(settings)), MediaStore(root), settings, speaker)
    if settings.media_dir is None:
        weakref.finalize(engine, shutil.rmtree, root, ignore_errors=True)
    return engine


def _plugins() -> tuple[ExpertSpec, ...]:
    found = find_plugins()
    for complaint in found.complaints:
        log.warning("%s", complaint)
    return found.specs


def _safety(settings: Settings) -> Safety | None:
    """On where strangers come in, or where the operator brought a filter."""
    picture = _picture_filter(settings)
    return Safety(picture=picture) if settings.public or picture else None


def _picture_filter(settings: Settings) -> Callable[[Any], str | None] | None:
    """Without a wish pictures are looked at where strangers may have the full profile, whose experts draw anything."""
    from unified_demo.experts import picture_checker

    name = settings.picture_filter or (picture_checker.NAME if settings.public and settings.profile == "full" else "none")
    if name == "none":
        return None
    if name != picture_checker.NAME:
        return read_picture_filter(name)
    full = read_full(settings)
    model = replace(full.profile.models[picture_checker.MODEL], files=picture_checker.FILES)
    return picture_checker.PictureChecker(lambda: full.folder(model), resolve_device(settings.device))


def _tiny_parts(settings: Settings, zoo: Zoo) -> Parts:
    def speak(experts: Sequence[ExpertSpec]) -> LanguageBackend:
        from unified_demo.model.tiny import load_multimodal_lm

        return load_multimodal_lm(settings, zoo, tuple(spec.declared for spec in experts))

    from unified_demo.experts import region_editing, restyling, segmentation, small_generators

    experts = tuple(spec for module in (segmentation, small_generators, restyling, region_editing) for spec in module.build_specs(zoo))
    file = zoo.file("language_model")
    speaker = _speaker(settings, file.title, file.licence, settings.number_type)
    return Parts(experts, speak, speaker, int((settings.max_memory_gb or TINY_MEMORY_GB) * GB))


def _full_parts(settings: Settings, zoo: Zoo) -> Parts:
    from unified_demo.experts.full import Placement, build_specs

    full = read_full(settings)
    device = resolve_device(settings.device)
    placement = Placement(device, settings.number_type, settings.offload, settings.compile)
    language_model = full.profile.models[full.profile.language_models[full.choice.language_model]]

    def speak(experts: Sequence[ExpertSpec]) -> LanguageBackend:
        from unified_demo.model.vlm import load_vision_language_model

        return load_vision_language_model(lambda: full.folder(language_model), settings, _offers(experts))

    precision = settings.number_type if settings.quantisation == "none" else settings.quantisation
    speaker = _speaker(settings, language_model.id, language_model.licence, precision)
    whole = int(settings.max_memory_gb * GB) if settings.max_memory_gb else _device_bytes(device)
    speaks = 0 if settings.server else full.profile.language_bytes(full.choice.language_model, settings.quantisation)
    room = max(whole - speaks, 0)
    choice = within(full.profile, full.choice, room, settings.offload)
    for task, reason in choice.refused.items():
        log.info("%s is off: %s", task, reason)
    for task, reason in choice.replaced.items():
        log.info("%s: %s", task, reason)
    return Parts(build_specs(full.profile, choice, full.folder, placement, zoo), speak, speaker, room, device)


PROFILE_PARTS: dict[str, Callable[[Settings, Zoo], Parts]] = {"tiny": _tiny_parts, "full": _full_parts}


def _speaker(settings: Settings, name: str, licence: str, precision: str) -> ModelFacts:
    """The profile's own language model, or the one that a server lends; the server's address is nobody's business."""
    if settings.server:
        return ModelFacts(settings.server_model or "OpenAI-compatible server")
    return ModelFacts(name, licence, precision, settings.device)


def _served_model(settings: Settings, experts: Sequence[ExpertSpec]) -> LanguageBackend:
    from unified_demo.model.openai_server import ServedModel, Server

    return ServedModel(Server(settings.server, settings.server_model, settings.server_grammar), _offers(experts))


def _offers(experts: Sequence[ExpertSpec]) -> tuple[Any, ...]:
    from unified_demo.model.vlm_prompt import offers_from

    return offers_from({spec.declared: spec.description for spec in experts})


def _device_bytes(device: str) -> int:
    """All memory of the GPU, or of the machine."""
    import torch

    if device == "cuda":
        return int(torch.cuda.mem_get_info()[1])
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
