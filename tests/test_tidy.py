"""The rules of this repository, each a test that says which was broken and where."""

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from fraud.cli.main import app

ROOT = Path(__file__).parents[1]
SOURCE_FOLDERS = ("fraud", "tests", "benchmarks", "deploy")
GENERATED = ROOT / "fraud" / "v1"
LINES_MAX = 400
FUNCTION_LINES_MAX = 60
NAMES_FORBIDDEN = {"utils", "util", "helpers", "helper", "common", "base", "misc", "manager"}

DOORS = {
    "grpc": ("fraud/serving/", "fraud/client/connection.py"),
    "grpc_health": ("fraud/serving/", "fraud/client/connection.py"),
    "grpc_reflection": ("fraud/serving/",),
    "ray": ("fraud/training/pool.py",),
    "xgboost": ("fraud/bundle/", "fraud/training/fit.py"),
    "prometheus_client": ("fraud/monitoring/",),
    "sqlite3": ("fraud/eventlog/", "fraud/registry/store.py"),
    "deltalake": ("fraud/archive/",),
    "numba": ("fraud/features/",),
    "pydantic": ("fraud/settings/",),
    "typer": ("fraud/cli/",),
    "matplotlib": ("fraud/report/", "fraud/adversary/pictures.py"),
    "jinja2": ("fraud/report/",),
}
"""Library → where it may come in; tests and benchmarks may use any."""


def python_files() -> list[Path]:
    found = [path for folder in SOURCE_FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
    return [path for path in found if GENERATED not in path.parents and ".peers" not in path.parts]


def text_files() -> Iterator[tuple[Path, str]]:
    folders = (*SOURCE_FOLDERS, "proto", ".ci")
    paths = [path for folder in folders for path in sorted((ROOT / folder).rglob("*")) if path.is_file()]
    paths += [path for path in sorted(ROOT.iterdir()) if path.is_file() and path.name != "fraud.toml"]
    for path in paths:
        if {"__pycache__", ".peers"} & set(path.parts):
            continue
        try:
            yield path, path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


def place(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=place(path))


def told(rule: str, broken: list[str]) -> None:
    assert not broken, f"{rule}:\n  " + "\n  ".join(broken)


def tool(name: str, *arguments: str) -> None:
    """Run a tool that is installed beside this Python; its findings are the message."""
    command = [str(Path(sys.executable).parent / name), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{name} {' '.join(arguments)} finds:\n{done.stdout}{done.stderr}"


def test_no_file_is_too_long() -> None:
    counts = [(place(path), len(path.read_text().splitlines())) for path in python_files()]
    rule = f"a file has at most {LINES_MAX} lines; split it by noun"
    told(rule, [f"{name}: {lines}" for name, lines in counts if lines > LINES_MAX])


def test_no_function_is_too_long() -> None:
    broken = [
        f"{place(path)}:{node.lineno} {node.name}: {length}"
        for path in python_files()
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or node.lineno) - node.lineno + 1) > FUNCTION_LINES_MAX
    ]
    told(f"a function has at most {FUNCTION_LINES_MAX} lines; name a part of it", broken)


def test_every_file_is_a_noun_of_the_field() -> None:
    rule = f"no file or folder is called {', '.join(sorted(NAMES_FORBIDDEN))}; name what it holds"
    parts = {
        (place(path), part) for path in python_files() for part in Path(place(path)).with_suffix("").parts
    }
    told(rule, sorted(name for name, part in parts if part in NAMES_FORBIDDEN))


def test_each_library_comes_in_by_one_door() -> None:
    broken = []
    for path in python_files():
        name = place(path)
        if not name.startswith("fraud/"):
            continue
        for node in ast.walk(tree_of(path)):
            for library in imported(node):
                doors = DOORS.get(library)
                if doors is not None and not name.startswith(doors):
                    broken.append(
                        f"{name}:{getattr(node, 'lineno', 0)} imports {library}, not in {', '.join(doors)}"
                    )
    told("each library comes in by one door", broken)


def imported(node: ast.AST) -> Iterator[str]:
    """The top-level packages that a statement imports."""
    if isinstance(node, ast.Import):
        yield from (alias.name.partition(".")[0] for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        yield node.module.partition(".")[0]


def test_the_scoring_process_never_imports_ray() -> None:
    code = "import sys, fraud.serving.server, fraud.client; print('ray' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False", (
        "fraud.serving.server imports ray; gRPC and Ray in one process hang"
    )


def test_every_name_in_all_exists() -> None:
    broken = []
    for path in python_files():
        if not place(path).startswith("fraud/") or "__all__" not in path.read_text(encoding="utf-8"):
            continue
        dotted = place(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        module = importlib.import_module(dotted)
        broken += [f"{dotted}.{name}" for name in module.__all__ if not hasattr(module, name)]
    told("every name in __all__ exists", broken)


FORBIDDEN_CALLS = {
    "eval": "reads code",
    "exec": "reads code",
    "__import__": "reads code",
    "np.load": "believes the shapes in the file; use fraud.arrays.read_arrays",
    "numpy.load": "believes the shapes in the file; use fraud.arrays.read_arrays",
    "os.system": "starts a shell",
    "tarfile.TarFile.extractall": "writes where the archive says",
}
FORBIDDEN_MODULES = {"pickle", "dill", "cloudpickle", "shelve", "marshal", "yaml", "urllib", "requests"}
URLS = ("fraud/monitoring/scrape.py", "fraud/cli/checkup.py", "fraud/archive/mending.py")
"""May use urllib: two ask addresses that the configuration names, one decodes names of files."""


def test_nothing_is_unpickled_evaluated_or_fetched() -> None:
    """`fraud/` alone: benchmarks fetch the data that they are told to, tests read YAML of deploy/."""
    broken = []
    for path in python_files():
        name = place(path)
        if not name.startswith("fraud/"):
            continue
        for node in ast.walk(tree_of(path)):
            line = f"{name}:{getattr(node, 'lineno', 0)}"
            broken += [
                f"{line} imports {library}"
                for library in imported(node)
                if library in FORBIDDEN_MODULES and not (library == "urllib" and name in URLS)
            ]
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                if called in FORBIDDEN_CALLS or called.endswith((".extractall", ".extract", ".loads_pickle")):
                    broken.append(
                        f"{line} {called} {FORBIDDEN_CALLS.get(called, 'writes where the archive says')}"
                    )
                broken += [
                    f"{line} {called} with {word.arg}=True"
                    for word in node.keywords
                    if word.arg in ("allow_pickle", "shell") and ast.unparse(word.value) != "False"
                ]
    told("nothing that is read is unpickled, evaluated, unpacked as it says, or fetched", broken)


def test_documents_are_read_within_bounds() -> None:
    """Plain `json.loads` and `tomllib.loads` end in a RecursionError on brackets nested deeply enough."""
    own = (
        "fraud/documents.py",  # the door
        # What this release has written itself, into a ledger, a log, a bundle or a package, or has asked for:
        *("fraud/registry/store.py", "fraud/eventlog/tables.py", "fraud/eventlog/headings.py"),
        *("fraud/serving/second_person.py", "fraud/bundle/splits.py"),
        *("fraud/adversary/strategy.py", "fraud/adversary/economy.py", "fraud/monitoring/scrape.py"),
        *("fraud/cli/versions.py", "fraud/cli/asked.py", "fraud/cli/lineage.py"),
    )
    broken = [
        f"{place(path)}:{node.lineno} {ast.unparse(node.func)}"
        for path in python_files()
        if place(path).startswith("fraud/") and place(path) not in own
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in ("json.loads", "json.load", "tomllib.loads", "tomllib.load")
    ]
    told("JSON and TOML come in through fraud.documents", broken)


def test_every_dependency_is_pinned() -> None:
    tables = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    groups = [tables["build-system"]["requires"], tables["project"]["dependencies"]]
    groups += tables["project"]["optional-dependencies"].values()
    pinned = re.compile(r"[A-Za-z0-9._-]+(\[[a-z,]+\])?==\d[A-Za-z0-9.]*|fraud\[[a-z,]+\]")
    broken = [given for group in groups for given in group if not pinned.fullmatch(given)]
    told("pyproject.toml pins every dependency with ==", broken)


def test_no_module_is_exempt_from_type_checking() -> None:
    mypy = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mypy"]
    assert mypy["strict"] is True
    lax = {key for override in mypy.get("overrides", []) for key in override} - {
        "module",
        "follow_untyped_imports",
    }
    told("no module is exempt from mypy --strict", sorted(lax))


def test_no_file_names_a_package_index() -> None:
    # Spelled in pieces, or this file would break its own rule.
    hosts = (
        "pypi" + ".org",
        "python" + "hosted.org",
        "anaconda" + ".org",
        "index" + "-url",
        "PIP_" + "INDEX",
    )
    broken = [f"{place(path)}: {host}" for path, text in text_files() for host in hosts if host in text]
    told("where packages come from is the machine's business, so no file names an index", broken)


def test_the_readme_and_the_command_line_know_the_same_commands() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^(?:\$ )?fraud ([a-z]+)", text, re.MULTILINE)) | set(
        re.findall(r"`fraud ([a-z]+)", text)
    )
    groups = {str(group.name) for group in app.registered_groups}
    known = {str(command.name) for command in app.registered_commands} | groups
    told("README.md names commands that exist", sorted(named - known))
    told("README.md names every command", sorted(known - named))


def test_what_readme_and_makefile_call_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    told(
        "README.md names make targets that exist",
        sorted(set(re.findall(r"\bmake ([a-z-]+)", text)) - targets),
    )
    modules = set(re.findall(r"python -m (benchmarks\.[a-z_]+)", text + makefile))
    missing = [name for name in sorted(modules) if not (ROOT / f"{name.replace('.', '/')}.py").exists()]
    told("README.md and Makefile name benchmarks that exist", missing)


def test_imports_point_down() -> None:
    tool("lint-imports", "--config", "pyproject.toml", "--no-cache")


def test_ruff_finds_nothing() -> None:
    """Docstrings of everything public are part of it."""
    tool("ruff", "check", "--quiet", ".")


@pytest.mark.parametrize("folder", SOURCE_FOLDERS)
def test_every_file_is_formatted(folder: str) -> None:
    if any((ROOT / folder).rglob("*.py")):
        tool("ruff", "format", "--check", "--quiet", folder)


def test_mypy_finds_nothing() -> None:
    tool("mypy")
