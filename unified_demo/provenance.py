"""Where a figure comes from: commit, weights, machine. Written into every result file and every run; computes no figure itself."""

import os
import platform
import subprocess
import sys
from pathlib import Path

from unified_demo.config import Settings
from unified_demo.zoo import Zoo, sha256_of

REPOSITORY = Path(__file__).resolve().parents[1]


def commit() -> str:
    """The commit of the checkout, with ``+changes`` when tracked files differ from it; ``unknown`` outside of one."""
    head = _git("rev-parse", "HEAD")
    if not head:
        return "unknown"
    return head + ("+changes" if _git("status", "--porcelain", "--untracked-files=no") else "")


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=REPOSITORY, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def weight_hashes(settings: Settings) -> dict[str, str]:
    """SHA-256 of each weight file of the profile by role; ``missing`` where it is not on this machine."""
    zoo = Zoo(settings.cache_dir, settings.weights_dir)
    return {role: sha256_of(path) if (path := zoo.present(role)) else "missing" for role in zoo.roles(settings.profile)}


def machine() -> dict[str, str | int]:
    """What the figures were measured on, in a few words."""
    torch = sys.modules.get("torch")
    return {
        "system": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "python": platform.python_version(),
        "torch": str(getattr(torch, "__version__", "not loaded")),
    }
