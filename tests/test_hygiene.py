"""Habits that a linter does not hold: no swallowed errors, no paths of one machine, no work at import, honest requirements."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
FOLDERS = ("unified_demo", "benchmarks", "tests", ".ci")
LIBRARY = sorted((REPOSITORY / "unified_demo").rglob("*.py"))
SCRIPTS = sorted(path for pattern in ("*.py", "benchmarks/**/*.py") for path in REPOSITORY.glob(pattern))
TEXT_SUFFIXES = {".py", ".toml", ".txt", ".md", ".json", ".css", ".js", ".sh", ".cfg", ".yml", ".yaml", ""}

MAX_LINES = 450
MAY_CATCH_ALL = {"unified_demo/router.py": 1, "unified_demo/ui/writing.py": 1, "unified_demo/experts/plugins.py": 1}
"""Around the expert's run, around the turn in the page, and around the import of a plug-in."""

_HOSTS = ("pypi" + ".org", "python" + "hosted.org", "registry." + "npmjs.org", "deb." + "debian.org")
_MACHINE_PATH = re.compile(r"(^|[^A-Za-z0-9_.])/(" + "|".join(("work", "farm", "root", "home", "Users")) + r")/")


def name(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def text_files() -> Iterator[Path]:
    candidates = [path for folder in FOLDERS for path in (REPOSITORY / folder).rglob("*")] + list(REPOSITORY.glob("*"))
    for path in candidates:
        if path.is_file() and path.suffix in TEXT_SUFFIXES and "__pycache__" not in path.parts and path.stat().st_size < 2**20:
            yield path


def library(test: object) -> object:
    return pytest.mark.parametrize("path", [*LIBRARY, *SCRIPTS], ids=name)(test)


@library
def test_errors_are_not_swallowed(path: Path) -> None:
    caught_all = 0
    for node in ast.walk(tree(path)):
        if not isinstance(node, ast.ExceptHandler):
            continue
        assert node.type is not None, f"{name(path)}:{node.lineno} has a bare except"
        if isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None:
            continue
        kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
        names = {kind.id for kind in kinds if isinstance(kind, ast.Name)}
        assert "BaseException" not in names, f"{name(path)}:{node.lineno} catches BaseException"
        caught_all += "Exception" in names
        only_pass = len(node.body) == 1 and isinstance(node.body[0], ast.Pass)
        assert not (only_pass and "Exception" in names), f"{name(path)}:{node.lineno} swallows everything"
    assert caught_all <= MAY_CATCH_ALL.get(name(path), 0), f"{name(path)} catches Exception; catch what can happen"


@library
def test_no_star_import_and_no_search_path(path: Path) -> None:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ImportFrom):
            assert all(alias.name != "*" for alias in node.names), f"{name(path)}:{node.lineno} imports *"
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            assert (node.value.id, node.attr) != ("sys", "path"), f"{name(path)}:{node.lineno} touches sys.path"


@pytest.mark.parametrize("path", LIBRARY, ids=name)
def test_the_library_logs_and_does_not_print(path: Path) -> None:
    if path.name == "__main__.py":
        return
    calls = [node.func for node in ast.walk(tree(path)) if isinstance(node, ast.Call)]
    assert not [call for call in calls if isinstance(call, ast.Name) and call.id == "print"], f"{name(path)} prints"


@library
def test_markup_is_made_of_literals_and_only_for_the_page(path: Path) -> None:
    """``Markup.format`` escapes what is filled in; text that is made Markup itself, or a template with text in it, would not be."""
    for node in ast.walk(tree(path)):
        place = f"{name(path)}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = {node.module} if isinstance(node, ast.ImportFrom) else {alias.name for alias in node.names}
            for alias in node.names if "markupsafe" in modules else ():
                assert name(path).startswith("unified_demo/ui/"), f"{place} builds HTML outside of unified_demo/ui"
                assert isinstance(node, ast.ImportFrom) and (alias.name, alias.asname) == ("Markup", None), f"{place} hides Markup"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Markup":
            literal = len(node.args) == 1 and isinstance(node.args[0], ast.Constant) and not node.keywords
            assert literal, f"{place} declares a value to be safe"


@library
def test_functions_are_annotated(path: Path) -> None:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            bare = [argument.arg for argument in arguments if argument.annotation is None and argument.arg not in ("self", "cls")]
            assert not bare, f"{name(path)}:{node.lineno} {node.name} lacks types for {bare}"


@library
def test_modules_are_short_and_say_what_they_are(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= MAX_LINES, f"{name(path)} has {len(lines)} lines"
    assert not lines or ast.get_docstring(tree(path)), f"{name(path)} has no module header"


def test_no_module_is_a_drawer() -> None:
    assert not [name(path) for path in LIBRARY if path.stem in ("utils", "common", "helpers", "misc", "legacy")]


def test_no_path_of_one_machine_and_no_registry_host() -> None:
    for path in text_files():
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            assert not _MACHINE_PATH.search(line), f"{name(path)}:{number} names a path of one machine"
            assert not any(host in line for host in _HOSTS), f"{name(path)}:{number} names a registry host"


# ---- imports ----


@pytest.mark.parametrize(
    "statement",
    [
        "import unified_demo",
        "import unified_demo.grammar, unified_demo.messages, unified_demo.config, unified_demo.parser",
        "from unified_demo import load_engine",
    ],
)
def test_importing_loads_no_heavy_library(statement: str) -> None:
    heavy = "{'torch', 'transformers', 'gradio', 'peft', 'diffusers', 'onnx', 'ai_edge_litert'}"
    code = f"import sys; {statement}; sys.exit(', '.join({heavy} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{statement} loads {done.stderr}"


_PACKAGE_OF = {"PIL": "pillow", "ai_edge_litert": "ai-edge-litert", "huggingface_hub": "huggingface-hub"}
_NAMED_BY_THE_PLAN = {"diffusers", "imageio", "soundfile"}
"""Required already, used by experts that come later."""
_USED_BY_NAME = {"ftfy", "gguf", "safetensors"}
"""Loaded by transformers and peft when they read a file of that format; ftfy by diffusers, whose Wan pipelines fail without it."""


def required() -> set[str]:
    lines = (REPOSITORY / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return {re.split(r"[<>=!~\[; ]", line)[0].lower() for line in lines if line and not line.startswith("#")}


_DRIVE_A_BROWSER = {"benchmarks/browsing.py"}
"""Needs what the tests need (requirements-dev.txt)."""


def imported() -> set[str]:
    found: set[str] = set()
    for path in (path for path in [*LIBRARY, *SCRIPTS] if name(path) not in _DRIVE_A_BROWSER):
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.split(".")[0])
    return {_PACKAGE_OF.get(module, module) for module in found - set(sys.stdlib_module_names) - {"unified_demo", "benchmarks"}}


def test_what_is_imported_is_required() -> None:
    assert imported() <= required(), f"requirements.txt lacks {sorted(imported() - required())}"


def test_what_is_required_is_used() -> None:
    unused = required() - imported() - _NAMED_BY_THE_PLAN - _USED_BY_NAME
    assert not unused, f"nothing imports {sorted(unused)}"
