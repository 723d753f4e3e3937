"""The order of the house: imports point down, sockets and trio stay in net/, files stay small."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "mdsdaemon"

# From the top down; units of one line may import each other as long as no circle closes.
LAYERS = [
    ["__init__", "__main__"],
    ["cli", "pytest_plugin"],
    ["cluster"],
    ["daemon"],
    ["rank"],
    ["embedded"],
    ["clients"],
    ["net"],
    ["msgr2"],
    ["messages", "maps", "cephx"],
    ["types"],
    ["encoding", "log", "recorder", "config", "perf", "host", "errors", "redaction", "version"],
    ["checksum", "collector", "records"],
]
DEPTH = {unit: depth for depth, line in enumerate(LAYERS) for unit in line}
SANS_IO = {unit for line in LAYERS[LAYERS.index(["msgr2"]) :] for unit in line}
# What opens a socket, sleeps, or brings an event loop.
IO_MODULES = {"trio", "socket", "select", "selectors", "asyncio", "ssl", "socketserver", "anyio"}

MODULES = sorted(PACKAGE.rglob("*.py"))


def unit_of(path: Path) -> str:
    """The package below mdsdaemon, or the module's name: the thing that LAYERS orders."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(path: Path) -> Iterator[tuple[int, str]]:
    """Line and absolute module name of every import in a file, those inside functions too."""
    package = ("mdsdaemon", *path.relative_to(PACKAGE).parent.parts)
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) - node.level + 1]) if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            if module == "mdsdaemon":
                yield from ((node.lineno, f"mdsdaemon.{alias.name}") for alias in node.names)
            else:
                yield node.lineno, module


def units_imported(path: Path) -> Iterator[tuple[int, str]]:
    for line, name in imports_of(path):
        parts = name.split(".")
        if parts[0] == "mdsdaemon":
            yield line, parts[1] if len(parts) > 1 and parts[1] in DEPTH else "__init__"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    unit = unit_of(path)
    assert unit in DEPTH, f"{unit} has no place in LAYERS; give it one"
    wrong = [
        f"{path.name}:{line} imports {target}"
        for line, target in units_imported(path)
        if target != unit and DEPTH[target] < DEPTH[unit]
    ]
    assert not wrong


def test_no_circle_between_units_of_one_layer() -> None:
    arrows: dict[str, set[str]] = {unit: set() for unit in DEPTH}
    for path in MODULES:
        arrows[unit_of(path)] |= {target for _, target in units_imported(path)} - {unit_of(path)}
    for line in LAYERS:
        reached = {unit: arrows[unit] & set(line) for unit in line}
        for _ in line:
            for unit in line:
                reached[unit] |= set().union(*(reached[next_unit] for next_unit in reached[unit]))
        assert not [unit for unit in line if unit in reached[unit]], f"a circle among {line}"


@pytest.mark.parametrize(
    "path",
    [path for path in MODULES if unit_of(path) in SANS_IO],
    ids=lambda p: str(p.relative_to(PACKAGE)),
)
def test_no_io_below_net(path: Path) -> None:
    found = [
        f"{path.name}:{line} imports {name}"
        for line, name in imports_of(path)
        if name.split(".")[0] in IO_MODULES
    ]
    assert not found


def test_only_net_and_local_sockets_import_socket() -> None:
    """net/ has the network; the others have the Unix sockets, and the list of interfaces."""
    names = ("admin_socket.py", "sd_notify.py", "addresses.py")
    allowed = {PACKAGE / "daemon" / name for name in names}
    users = [
        path
        for path in MODULES
        if any(name.split(".")[0] == "socket" for _, name in imports_of(path))
    ]
    assert [p for p in users if unit_of(p) != "net" and p not in allowed] == []


def test_no_file_has_two_purposes() -> None:
    """500 lines are the most a file takes before it is asked for its second purpose."""
    folders = [ROOT / name for name in ("src", "tests", "bench", "examples")]
    files = [path for folder in folders for path in folder.rglob("*.py")]
    lengths = {path: len(path.read_text().splitlines()) for path in files}
    assert {str(p.relative_to(ROOT)): n for p, n in lengths.items() if n > 500} == {}


def test_every_example_is_run() -> None:
    """tests/real/test_examples.py names each of them."""
    runs = (ROOT / "tests" / "real" / "test_examples.py").read_text()
    examples = (ROOT / "examples").glob("*.py")
    assert [path.name for path in examples if path.name not in runs] == []
