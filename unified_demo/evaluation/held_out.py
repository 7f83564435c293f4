"""Requests in templates that training never used, for the routing benchmark."""

from unified_demo.evaluation.benchmark import Context
from unified_demo.evaluation.instructions import Instruction
from unified_demo.media import MediaStore


def read_held_out(context: Context, store: MediaStore) -> tuple[list[Instruction], list[str], str]:
    return [], [], "no held-out requests yet"
