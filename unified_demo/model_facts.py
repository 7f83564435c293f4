"""What is told of the language model that speaks: its name, its licence, its precision and its device. Loads nothing."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelFacts:
    """``device`` is "cpu", "cuda", "auto" (see ``resolve_device``) or empty where the model does not run in this process;
    ``precision`` names the kind of number that holds its weights and is empty there too."""

    name: str
    licence: str = ""
    precision: str = ""
    device: str = ""


def resolve_device(wanted: str) -> str:
    """``wanted``, where "auto" is the GPU if torch sees one. Imports torch only for "auto"."""
    if wanted != "auto":
        return wanted
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
