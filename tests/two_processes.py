"""Run by two processes at once (torch.distributed.run): adapters trained and resumed with copies of the model, then with parts of it;
then Neural Tuning both ways, without a break."""

import sys
from pathlib import Path

import torch

from unified_demo.training.adapters.__main__ import main

backbone, assets, out = sys.argv[1:]
runs = [("copies", 1, []), ("copies", 2, []), ("parts", 1, ["--shard"]), ("parts", 2, ["--shard"])]
neural = ["--tuning", "neural", "--neurons", "8"]
runs += [("neural-copies", 2, neural), ("neural-parts", 2, [*neural, "--shard"])]
for folder, steps, how in runs:
    small = ["--batch", "2", "--most-tokens", "9000", "--rank", "2", "--adapters", "2", "--steps", str(steps)]
    assert main(["run", "--backbone", backbone, "--assets", assets, "--out", str(Path(out) / folder), *small, *how]) == 0
torch.distributed.destroy_process_group()
