"""What the trainings of small heads share as commands: a log with times, an error as one line, the frozen language model."""

import argparse
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from unified_demo.config import Settings
from unified_demo.errors import UnifiedError
from unified_demo.model.loading import load_language_model
from unified_demo.zoo import Zoo

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerBase

logger = logging.getLogger(__name__)


def carry_out(run: Callable[[argparse.Namespace], None], flags: argparse.Namespace) -> int:
    """The exit status: 0, or 1 where ``run`` ended with an error that says what to do."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        run(flags)
    except UnifiedError as error:
        logger.error("%s", error)
        return 1
    return 0


def frozen_language_model(dtype: torch.dtype = torch.bfloat16) -> tuple["LlamaForCausalLM", "PreTrainedTokenizerBase"]:
    """The language model of the tiny profile, not to be trained, and its tokenizer; ModelLoadError where it is missing."""
    settings = Settings()
    weights = Zoo(settings.cache_dir, settings.weights_dir).path("language_model")
    return load_language_model(weights, settings.cache_dir / "converted" / "language_model", dtype)
