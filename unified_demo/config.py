"""Frozen settings. Bad combinations are rejected once, in ``__post_init__``; importing this loads nothing heavy."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from unified_demo.errors import UnifiedError

PROFILES = ("tiny", "full")
DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("auto", "float32", "bfloat16")
QUANTISATIONS = ("none", "int8", "nf4")
EXPERT_SETS = ("paper", "modern")
"""Of the full profile: the paper's experts (or what stands in for them), or today's."""
SERVER_GRAMMARS = ("none", "vllm", "sglang", "llamacpp")
"""Servers that take a grammar, by the field they take it in."""


def default_cache_dir() -> Path:
    """``$UNIFIED_DEMO_CACHE`` or ``~/.cache/unified_demo``: fetched weights and converted copies."""
    return Path(os.environ.get("UNIFIED_DEMO_CACHE") or Path.home() / ".cache" / "unified_demo")


def default_data_dir() -> Path:
    """``$UNIFIED_DEMO_DATA`` or ``~/.local/share/unified_demo``: conversations that are kept."""
    return Path(os.environ.get("UNIFIED_DEMO_DATA") or Path.home() / ".local" / "share" / "unified_demo")


@dataclass(frozen=True)
class Limits:
    """What a visitor may send. Checked before a file is decoded fully.

    ``working_side``: a picture whose longer side is larger is reduced to it once, on arrival;
    boxes and masks then refer to the reduced picture. Videos are reduced to ``video_side`` in the same way.
    ``data_bytes``, ``data_values`` and ``points`` bound point clouds, depth maps and other arrays.
    """

    image_bytes: int = 50 * 2**20
    image_pixels: int = 50_000_000
    working_side: int = 2048
    video_bytes: int = 200 * 2**20
    video_seconds: float = 60.0
    video_side: int = 960
    sound_bytes: int = 50 * 2**20
    sound_seconds: float = 180.0
    data_bytes: int = 50 * 2**20
    data_values: int = 12_000_000
    points: int = 2_000_000
    text_characters: int = 10_000
    files: int = 8


@dataclass(frozen=True)
class Drawing:
    """How experts that draw in steps do it, and how strong an edit is (0 to 1); None: as the expert is used to."""

    steps: int | None = None
    guidance: float | None = None
    strength: float | None = None

    def __post_init__(self) -> None:
        if self.steps is not None and not 1 <= self.steps <= 100:
            raise UnifiedError(f"steps is {self.steps}; 1 to 100 are allowed.")
        if self.guidance is not None and not 0 <= self.guidance <= 30:
            raise UnifiedError(f"guidance is {self.guidance}; 0 to 30 are allowed.")
        if self.strength is not None and not 0 <= self.strength <= 1:
            raise UnifiedError(f"strength is {self.strength}; 0 to 1 are allowed.")


@dataclass(frozen=True)
class GenerationOptions:
    """How an answer is decoded. ``temperature`` 0 is greedy; ``constrained`` forces well-formed calls.

    ``seed`` is that of the experts as well; the others are those of ``Drawing``.
    """

    max_new_tokens: int = 320
    temperature: float = 0.0
    seed: int = 0
    constrained: bool = True
    steps: int | None = None
    guidance: float | None = None
    strength: float | None = None

    @property
    def drawing(self) -> Drawing:
        return Drawing(self.steps, self.guidance, self.strength)

    def __post_init__(self) -> None:
        if not 1 <= self.max_new_tokens <= 2048:
            raise UnifiedError(f"max_new_tokens is {self.max_new_tokens}; 1 to 2048 are allowed.")
        if not 0 <= self.temperature <= 2:
            raise UnifiedError(f"temperature is {self.temperature}; 0 to 2 are allowed.")
        _ = self.drawing


@dataclass(frozen=True)
class Settings:
    """Everything the operator chooses. ``weights_dir`` holds committed weights, ``cache_dir`` fetched ones.

    ``public``: strangers may come in, so what is made is checked (``safety.py``); ``picture_filter`` ("package.module:function",
    "stable-diffusion": the checker that comes with it, or "none") looks at results as well; "" is the checker where the full profile is
    public, else none.
    ``max_memory_gb``: what models may hold on the device (None: 6 GB in the tiny profile, all there is in the full one),
    ``parked_gb``: what idle experts may hold in main memory. Of the full profile: ``experts`` is a set of them, ``experts_file`` a TOML
    file that overrides it, ``offload`` moves an expert's parts in and out while it works. ``server``: the address of an
    OpenAI-compatible server that speaks in place of the profile's own language model, ``server_grammar`` how it takes a grammar.
    ``compile``: steps that repeat are compiled at first. ``adapters``: a file that tunes the full profile's language model.
    """

    profile: str = "tiny"
    device: str = "auto"
    precision: str = "auto"
    weights_dir: Path = Path(__file__).resolve().parent.parent / "weights"
    cache_dir: Path = field(default_factory=default_cache_dir)
    media_dir: Path | None = None
    quantisation: str = "none"
    public: bool = False
    picture_filter: str = ""
    max_memory_gb: float | None = None
    parked_gb: float = 16.0
    experts: str = "modern"
    experts_file: Path | None = None
    allow_noncommercial: bool = False
    offload: bool = False
    compile: bool = False
    adapters: Path | None = None
    server: str = ""
    server_model: str = ""
    server_grammar: str = "none"
    limits: Limits = field(default_factory=Limits)

    @property
    def number_type(self) -> str:
        """The kind of number of the networks' weights: "float32" or, also for "auto", "bfloat16"."""
        return "float32" if self.precision == "float32" else "bfloat16"

    def __post_init__(self) -> None:
        for name, allowed in (
            ("profile", PROFILES),
            ("device", DEVICES),
            ("precision", PRECISIONS),
            ("quantisation", QUANTISATIONS),
            ("experts", EXPERT_SETS),
            ("server_grammar", SERVER_GRAMMARS),
        ):
            if getattr(self, name) not in allowed:
                raise UnifiedError(f"{name} is '{getattr(self, name)}'; allowed: {', '.join(allowed)}.")
        if self.max_memory_gb is not None and self.max_memory_gb <= 0:
            raise UnifiedError(f"max_memory is {self.max_memory_gb} GB; more than 0 is needed.")
