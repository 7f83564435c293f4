"""What a public server does not make: words are checked before an expert runs, pictures and first frames before they are kept.

The word filter is a small list of patterns and no more: it refuses sexual content. A picture filter is the operator's own function, or
the checker of Stable Diffusion (``experts/picture_checker.py``); no classifier comes with this repository.
"""

import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from unified_demo.errors import ExpertError, RoutingError, UnifiedError
from unified_demo.grammar import MediaKind

Reason = str | None
"""Why something is refused, as the end of a sentence; None: it is fine."""
_SEXUAL = re.compile(
    r"\b(?:nudes?|nudity|naked|topless|nsfw|porn\w*|hentai|erotic\w*|sexual\w*|sex|orgasm\w*|genitals?|penis\w*|vagina\w*|fetish\w*|"
    r"strip(?:tease|per)\w*|blowjobs?|masturbat\w*|lolicon|shotacon)\b(?!\s+(?:mole|eye))",
    re.IGNORECASE,
)
_ALIKE = str.maketrans("013457@$", "oieastas")
"""Digits and signs that stand for letters."""


def refuse_sexual_words(prompt: str) -> Reason:
    """Patterns in English, spelt with digits as well; harmless uses of such words are refused, too."""
    if _SEXUAL.search(prompt) or _SEXUAL.search(prompt.translate(_ALIKE)):
        return "this server does not make sexual content"
    return None


@dataclass(frozen=True)
class Safety:
    """Two hooks. ``words(prompt)`` and ``picture(PIL image)`` give a reason to refuse, or None."""

    words: Callable[[str], Reason] = refuse_sexual_words
    picture: Callable[[Any], Reason] | None = None

    def check_words(self, prompt: str) -> None:
        """Raises RoutingError when a prompt is refused."""
        if reason := self.words(prompt):
            raise RoutingError(f"The request was not carried out: {reason}; please ask for something else.")

    def check_output(self, kind: MediaKind, value: Any) -> None:
        """Raises ExpertError when a picture, or one of four frames of a video, is refused."""
        if self.picture is None or kind not in (MediaKind.IMAGE, MediaKind.VIDEO):
            return
        for picture in [value] if kind == MediaKind.IMAGE else _some_frames(value):
            if reason := self.picture(picture):
                raise ExpertError(f"The result was kept back: {reason}; please ask for something else.")


def _some_frames(frames: np.ndarray) -> list[Any]:
    from PIL import Image

    return [Image.fromarray(frames[index]) for index in np.unique(np.linspace(0, len(frames) - 1, 4).round().astype(int))]


def read_picture_filter(name: str) -> Callable[[Any], Reason]:
    """``package.module:function`` -> the function. UnifiedError when there is none."""
    module, _, function = name.partition(":")
    try:
        found: Callable[[Any], Reason] = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as exc:
        raise UnifiedError(f"The picture filter '{name}' cannot be imported; name it as package.module:function.") from exc
    return found
