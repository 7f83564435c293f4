"""TaskBench (JARVIS, arXiv 2311.18760): requests with the steps, tools and links that carry them out.

Layout as microsoft/JARVIS writes and reads it (taskbench/README.md, format_data.py, evaluate.py): ``data_<domain>/data.json`` with one JSON
object a line (user_request, task_steps, task_nodes, task_links, type) and ``tool_desc.json`` with the tools of the domain. An argument
"<node-i>" is the result of tool i of the same request. The hub's copy of the set names its file alike; its columns were not seen.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unified_demo.data.published.reading import Broken, Complaints, files_of, json_lines, need, read_json

KINDS = ("single", "chain", "dag")


@dataclass(frozen=True)
class ToolUse:
    """A tool of the request with its arguments in words; ``inputs`` are indices of tools whose results it takes."""

    tool: str
    arguments: tuple[str, ...]
    inputs: tuple[int, ...] = ()


@dataclass(frozen=True)
class ToolRequest:
    id: str
    domain: str
    kind: str
    request: str
    steps: tuple[str, ...]
    uses: tuple[ToolUse, ...]
    links: tuple[tuple[str, str], ...]


def read_taskbench(folder: Path, complaints: Complaints) -> Iterator[ToolRequest]:
    """Requests by domain; ``folder`` holds the domains, or is one. MediaError when there is no data.json."""
    for path in files_of(folder, ("data_*/data.json", "data.json"), "TaskBench data"):
        tools = _tools(path.with_name("tool_desc.json"), complaints)
        if tools is None:
            continue
        domain = path.parent.name.removeprefix("data_")
        for line, entry in json_lines(path, complaints):
            try:
                yield _read(entry, domain, tools)
            except Broken as exc:
                complaints.add(path, line, exc.kind, str(exc))


def _tools(path: Path, complaints: Complaints) -> frozenset[str] | None:
    """Names of the tools with spaces for underscores, as format_data.py writes them; None when they are not known."""
    content = read_json(path, complaints)
    try:
        if content is not None:
            return frozenset(need(node, "id", str).replace("_", " ") for node in need(content, "nodes", list))
    except Broken as exc:
        complaints.add(path, 0, exc.kind, str(exc))
    return None


def _read(entry: Any, domain: str, tools: frozenset[str]) -> ToolRequest:
    kind = need(entry, "type", str)
    if kind not in KINDS:
        raise Broken("unknown task", f"is of the kind '{kind}'; there are {', '.join(KINDS)}")
    nodes = need(entry, "task_nodes", list)
    names = [need(node, "task", str).replace("_", " ") for node in nodes]
    if unknown := [name for name in names if name not in tools]:
        raise Broken("unknown task", f"uses the tool '{unknown[0]}', which tool_desc.json does not have")
    if not names:
        raise Broken("no tool", "uses no tool")
    uses = tuple(_use(name, need(node, "arguments", list), len(nodes)) for name, node in zip(names, nodes, strict=True))
    links = tuple(
        (need(link, "source", str).replace("_", " "), need(link, "target", str).replace("_", " "))
        for link in need(entry, "task_links", list)
    )
    if strangers := [name for link in links for name in link if name not in names]:
        raise Broken("broken link", f"links the tool '{strangers[0]}', which it does not use")
    request = need(entry, "user_request", str).strip()
    if not request:
        raise Broken("no request", "has an empty request")
    steps = tuple(str(step) for step in need(entry, "task_steps", list))
    return ToolRequest(str(need(entry, "id", (str, int))), domain, kind, request, steps, uses, links)


def _use(tool: str, arguments: list[Any], count: int) -> ToolUse:
    words, inputs = [], []
    for argument in arguments:
        if isinstance(argument, dict):
            argument = argument.get("value", next(iter(argument.values()), ""))
        text = " ".join(str(part) for part in argument) if isinstance(argument, list) else str(argument)
        if text.startswith("<node-") and text.endswith(">"):
            number = text.removeprefix("<node-").removesuffix(">")
            if not number.isdecimal() or int(number) >= count:
                raise Broken("broken link", f"takes the result of {text}, and there are {count} tools")
            inputs.append(int(number))
        else:
            words.append(text)
    return ToolUse(tool, tuple(words), tuple(inputs))
