"""Experts of other packages: each entry point of the group GROUP names an ``ExpertSpec``, and with it a task of its own.

A plug-in that cannot be used is left out with one sentence for the operator. Nothing is kept: what is found is a value.
"""

from collections.abc import Collection
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points

from unified_demo.errors import GrammarError, ModelLoadError
from unified_demo.experts.base import ExpertSpec
from unified_demo.grammar import TAGS

GROUP = "unified_demo.experts"


@dataclass(frozen=True)
class Plugins:
    """``complaints``: why the others were left out, a sentence each."""

    specs: tuple[ExpertSpec, ...] = ()
    complaints: tuple[str, ...] = ()


def find_plugins() -> Plugins:
    """What installed packages declare, in the order of the entry points' names."""
    specs: list[ExpertSpec] = []
    complaints: list[str] = []
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: (entry.name, entry.value)):
        try:
            specs.append(read_plugin(entry, [spec.task for spec in specs]))
        except ModelLoadError as exc:
            complaints.append(str(exc))
    return Plugins(tuple(specs), tuple(complaints))


def read_plugin(entry: EntryPoint, taken: Collection[str] = ()) -> ExpertSpec:
    """The spec that an entry point names. ModelLoadError: it cannot be imported, is none, or what it declares cannot be a task.

    ``taken``: tags of other plug-ins; those of the representation are taken anyway.
    """
    package = entry.dist.name if entry.dist else entry.module
    left_out = f"The plug-in '{entry.name}' of {package} is left out: "
    try:
        spec = entry.load()
    except Exception as exc:  # whatever a stranger's module does when it is imported
        raise ModelLoadError(f"{left_out}{entry.value} cannot be loaded ({type(exc).__name__}: {exc}); mend or uninstall it.") from exc
    if not isinstance(spec, ExpertSpec):
        raise ModelLoadError(f"{left_out}{entry.value} is a {type(spec).__name__}; an ExpertSpec is needed.")
    if spec.task in (*TAGS, *taken):
        raise ModelLoadError(f"{left_out}the tag '{spec.task}' is taken; choose another one.")
    try:
        declared = spec.declared
    except GrammarError as exc:
        raise ModelLoadError(left_out + str(exc)) from exc
    if declared.plans:
        raise ModelLoadError(f"{left_out}it needs a region and no picture that the region could lie in; add one to its needs.")
    return spec
