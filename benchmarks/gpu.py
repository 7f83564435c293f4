"""What a GPU must show and needs no hub for: the same figures as the CPU, decoding against the memory's bandwidth, experts under pressure.

``python -m benchmarks.gpu`` fills networks of the published shapes with random weights. ``--small`` and ``--device cpu`` run the same code
anywhere, which proves the code and says nothing of speed. Pictures and answers of real weights are no matter of this file.
"""

import argparse
import json
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.shapes import i2vgen, qwen3_vl, unet
from unified_demo import provenance
from unified_demo.compiling import Compiled
from unified_demo.experts.base import ExpertEvent, ExpertRequest, ExpertSpec, Progress
from unified_demo.experts.registry import ExpertRegistry
from unified_demo.grammar import MediaKind
from unified_demo.model.vlm import Prompt, _Decoder

GB = 2**30
TOLERANCE = {"float32": 2e-3, "bfloat16": 4e-2}
"""Largest difference between device and CPU (float32), as a share of the CPU's largest value."""
NETWORKS: dict[str, Callable[[bool], torch.nn.Module]] = {
    "stable diffusion": lambda small: unet(small),
    "gligen": lambda small: unet(small, attention_type="gated"),
    "instruct-pix2pix": lambda small: unet(small, in_channels=8),
    "i2vgen-xl": i2vgen,
}


@dataclass(frozen=True)
class Plan:
    """Where and how large. ``tokens`` written per decoding run, ``calls`` of experts under pressure, ``budget_gb`` for those."""

    device: str
    small: bool
    tokens: int
    calls: int
    budget_gb: float
    parked_gb: float
    seed: int = 0


def filled(build: Callable[[], torch.nn.Module], device: str, dtype: torch.dtype) -> torch.nn.Module:
    """The network with random weights, made where it shall be: full sizes never pass through main memory."""
    torch.manual_seed(0)
    with torch.device(device):
        before = torch.get_default_dtype()
        torch.set_default_dtype(dtype)
        try:
            return build().eval().requires_grad_(False)
        finally:
            torch.set_default_dtype(before)


def wait(device: str) -> None:
    """Until the device has done what it was told."""
    if device != "cpu":
        torch.cuda.synchronize()


def network_bytes(network: torch.nn.Module) -> int:
    return sum(value.numel() * value.element_size() for value in network.parameters())


# ---- the same figures ----


def parity(plan: Plan) -> list[dict[str, Any]]:
    """A row per network and precision: the device's largest difference from the CPU's float32, as a share of its largest value."""
    rows = []
    cases: tuple[tuple[str, Callable[[], torch.nn.Module], Callable[..., torch.Tensor]], ...] = (
        ("language model", lambda: qwen3_vl(small=True), _words),
        ("denoiser", lambda: unet(small=True), _denoised),
    )
    for name, build, run in cases:
        network = filled(build, "cpu", torch.float32)
        expected = run(network)
        for precision in TOLERANCE:
            moved = network.to(plan.device, getattr(torch, precision))
            got = run(moved).float().cpu()
            error = float((got - expected).abs().max() / expected.abs().max())
            rows.append({"network": name, "precision": precision, "error": round(error, 6), "within": error <= TOLERANCE[precision]})
            network = network.to("cpu", torch.float32)
    return rows


@torch.no_grad()
def _words(network: Any) -> torch.Tensor:
    ids = torch.arange(3, 67, device=network.device)[None]
    logits: torch.Tensor = network(input_ids=ids, position_ids=torch.arange(64, device=network.device)[None, None].expand(3, 1, -1)).logits
    return logits


@torch.no_grad()
def _denoised(network: Any) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    latents, words = torch.randn(2, network.config.in_channels, 32, 32, generator=generator), torch.randn(2, 7, 768, generator=generator)
    at = {"device": network.device, "dtype": network.dtype}
    noise: torch.Tensor = network(latents.to(**at), 500, encoder_hidden_states=words.to(**at)).sample
    return noise


# ---- decoding ----


def bandwidth(device: str) -> float:
    """GB/s read and written by copying a large tensor within the device's memory; best of five."""
    source = torch.empty(GB if device != "cpu" else GB // 16, dtype=torch.uint8, device=device).fill_(1)
    target = torch.empty_like(source)
    best = 0.0
    for _ in range(5):
        wait(device)
        started = time.perf_counter()
        target.copy_(source)
        wait(device)
        best = max(best, 2 * source.numel() / 1e9 / (time.perf_counter() - started))
    return best


def decoding(plan: Plan) -> dict[str, Any]:
    """Tokens a second beside the limit: each token reads all weights of the text model once. Also while a denoiser works beside it."""
    network: Any = filled(lambda: qwen3_vl(plan.small), plan.device, torch.bfloat16)
    size = network_bytes(network.model.language_model)
    speed = bandwidth(plan.device)
    result: dict[str, Any] = {"weights_gb": round(size / 1e9, 2), "bandwidth_gb_s": round(speed, 1), "limit": round(speed * 1e9 / size, 1)}
    result["tokens_per_s"] = round(_tokens_per_s(network, plan, None), 1)
    compiled = Compiled(network.forward, plan.device)
    result["tokens_per_s_compiled"] = round(_tokens_per_s(network, plan, compiled), 1) if compiled.compiled else None
    denoiser = filled(lambda: unet(plan.small), plan.device, torch.bfloat16)
    over = threading.Event()
    beside = threading.Thread(target=_work, args=(denoiser, over))
    beside.start()
    result["tokens_per_s_beside_denoiser"] = round(_tokens_per_s(network, plan, None), 1)
    over.set()
    beside.join()
    return result


def _tokens_per_s(network: Any, plan: Plan, compiled: Compiled | None) -> float:
    decoder = _Decoder(network, Prompt(torch.arange(3, 259)[None], None, None), -1, compiled, plan.tokens + 4)
    for token in range(4):
        decoder.step(token)
    started = time.perf_counter()
    for token in range(plan.tokens):
        decoder.step(token % 100)
    return plan.tokens / (time.perf_counter() - started)


def _work(denoiser: torch.nn.Module, over: threading.Event) -> None:
    while not over.is_set():
        _denoised(denoiser)


# ---- memory ----


class Shape:
    """An expert that holds a network and computes nothing; it can wait in main memory."""

    def __init__(self, network: torch.nn.Module) -> None:
        self.network = network

    def run(self, request: ExpertRequest) -> Iterator[ExpertEvent]:
        yield Progress(1, 1)

    def move_to(self, device: str) -> None:
        self.network.to(device)


def pressure(plan: Plan) -> dict[str, Any]:
    """Experts of real size called in random order under a budget too small for all: seconds to be ready, and what was ever held."""
    sizes = {}
    for name, build in NETWORKS.items():
        with torch.device("meta"):
            sizes[name] = sum(value.numel() for value in build(plan.small).parameters()) * 2
    specs = [_spec(name, sizes[name], plan) for name in NETWORKS]
    unit = 1.0 if not plan.small else sum(sizes.values()) / 10 / GB
    budget = int(plan.budget_gb * unit * GB)
    registry = ExpertRegistry(specs, budget, int(plan.parked_gb * unit * GB), plan.device)
    rng, waited, held = random.Random(plan.seed), [], 0
    kinds = {"new": 0, "from main memory": 0, "ready": 0}
    for _ in range(plan.calls):
        name = rng.choice(list(NETWORKS))
        kinds["ready" if name in registry.loaded() else "from main memory" if name in registry.parked() else "new"] += 1
        started = time.perf_counter()
        with registry.acquire(name):
            wait(plan.device)
            waited.append(time.perf_counter() - started)
        held = max(held, torch.cuda.memory_allocated() if plan.device != "cpu" else sum(sizes[task] for task in registry.loaded()))
    waited.sort()
    return {
        "calls": kinds,
        "median_s": round(waited[len(waited) // 2], 3),
        "slowest_s": round(waited[-1], 3),
        "budget_gb": round(budget / GB, 4),
        "most_held_gb": round(held / GB, 4),
        "within": held <= budget * 1.02,
    }


def _spec(name: str, size: int, plan: Plan) -> ExpertSpec:
    def load() -> Shape:
        return Shape(filled(lambda: NETWORKS[name](plan.small), plan.device, torch.bfloat16))

    return ExpertSpec(name, name, "random weights", (), MediaKind.IMAGE, "none", (), size, load)


# ---- command line ----


def measure(plan: Plan) -> dict[str, Any]:
    device = torch.cuda.get_device_name() if plan.device != "cpu" else "cpu"
    head = {"benchmark": "gpu", "commit": provenance.commit(), "machine": provenance.machine(), "device": device, "small": plan.small}
    return {**head, "parity": parity(plan), "pressure": pressure(plan), "decoding": decoding(plan)}


def lines(result: dict[str, Any]) -> list[str]:
    said = [f"{result['device']}{', small shapes: speed means nothing' if result['small'] else ''}"]
    for row in result["parity"]:
        said.append(f"parity {row['network']}, {row['precision']}: {row['error']:.6f} {'ok' if row['within'] else 'TOO FAR'}")
    for part in ("pressure", "decoding"):
        said += [f"{part} {name}: {value}" for name, value in result[part].items()]
    return said


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--small", action="store_true", help="small networks of the same classes")
    parser.add_argument("--tokens", type=int, default=128, help="written in each decoding run")
    parser.add_argument("--calls", type=int, default=24, help="of experts under pressure")
    parser.add_argument("--budget", type=float, default=6.0, help="GB that experts may hold (of 10 with --small: in tenths of all)")
    parser.add_argument("--parked", type=float, default=4.0, help="GB that idle experts may hold in main memory (likewise)")
    parser.add_argument("--out", type=Path, default=Path("runs/gpu.json"))
    chosen = parser.parse_args(arguments)
    if chosen.device == "cuda" and not torch.cuda.is_available():
        print("There is no CUDA device here; --device cpu --small shows that the code runs.", file=sys.stderr)
        return 2
    result = measure(Plan(chosen.device, chosen.small, chosen.tokens, chosen.calls, chosen.budget, chosen.parked))
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print("\n".join(lines(result)))
    return 0 if result["pressure"]["within"] and all(row["within"] for row in result["parity"]) else 1


if __name__ == "__main__":
    sys.exit(main())
