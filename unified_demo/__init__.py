"""UnifiedMLLM Demo: a multimodal model that writes text, task tokens and grounding tokens, and the experts they call.

Importing this package loads no torch, opens no file and reads no argv.
"""

from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "load_engine":
        from unified_demo.assembly import load_engine

        return load_engine
    raise AttributeError(f"module 'unified_demo' has no attribute '{name}'")
