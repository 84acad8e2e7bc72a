"""The import table, the purity table and the sizes: the shape of the project, enforced."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("clawback", "connectors", "flows", "processing", "schemas")
MODULES = sorted(
    path.relative_to(ROOT)
    for package in PACKAGES
    for path in (ROOT / package).rglob("*.py")
    if "migrations" not in path.parts
)
MIGRATIONS = sorted(path.relative_to(ROOT) for path in (ROOT / "processing" / "migrations").rglob("*.py"))

INNER = {"connectors", "schemas", "processing"}
# Who may import whom; every part may import itself. Arrows point at processing.
MAY_IMPORT = {
    "processing": set[str](),
    "schemas": {"processing"},
    "connectors": {"processing.errors", "processing.codes"},
    "clawback.salesforce_tables": {"connectors.salesforce_settings", "connectors.source_settings", "processing.errors"},
    "clawback.source_tables": {"clawback.salesforce_tables", "connectors.host_key", "connectors.places"}
    | {"connectors.salesforce_settings", "connectors.source_settings", "processing.errors"},
    "clawback.settings": {"clawback.source_tables", "connectors.salesforce_settings", "connectors.source_settings"}
    | {"processing.errors"},
    "clawback.wiring": INNER | {"clawback.settings"},
    "clawback.sidecars": INNER,
    "clawback.beginnings": INNER,
    "clawback.judging": INNER | {"clawback.beginnings", "clawback.sidecars"},
    "clawback.intake": INNER,
    "clawback.mailroom": INNER | {"clawback.wiring"},
    "clawback.replies": {"processing"},
    "clawback.postman": INNER | {"clawback.mailroom", "clawback.pipeline", "clawback.replies", "clawback.wiring"},
    "clawback.courier": INNER | {"clawback.web.representation", "clawback.web.shapes", "clawback.wiring"},
    "clawback.answers": INNER | {"clawback.judging", "clawback.wiring"},
    "clawback.cases": INNER | {"clawback.judging", "clawback.wiring"},
    "clawback.rejudging": INNER | {"clawback.cases", "clawback.judging", "clawback.wiring"},
    "clawback.unpacking": INNER | {"clawback.judging", "clawback.sidecars", "clawback.wiring"},
    "clawback.preview": INNER
    | {"clawback.cases", "clawback.judging", "clawback.sidecars", "clawback.unnamed", "clawback.unpacking"}
    | {"clawback.wiring"},
    "clawback.pipeline": INNER
    | {"clawback.answers", "clawback.cases", "clawback.judging", "clawback.mailroom", "clawback.rejudging"}
    | {"clawback.sidecars", "clawback.unpacking", "clawback.wiring"},
    "clawback.deciding": INNER
    | {"clawback.cases", "clawback.pipeline", "clawback.rejudging", "clawback.sidecars", "clawback.wiring"},
    "clawback.revising": INNER
    | {"clawback.cases", "clawback.pipeline", "clawback.preview", "clawback.rejudging", "clawback.wiring"},
    "clawback.sweep": INNER
    | {"clawback.cases", "clawback.judging", "clawback.mailroom", "clawback.pipeline", "clawback.wiring"},
    "clawback.pulling": INNER | {"clawback.pipeline", "clawback.wiring"},
    "clawback.salesforce": INNER | {"clawback.judging", "clawback.pipeline", "clawback.preview", "clawback.wiring"},
    "clawback.ahead": set(),
    "clawback.unnamed": set(),
    "clawback.loading": INNER | {"clawback.ahead", "clawback.unnamed", "clawback.wiring"},
    "clawback.web": INNER
    | {"clawback.settings", "clawback.wiring", "clawback.pipeline", "clawback.preview", "clawback.revising"}
    | {"clawback.loading", "clawback.intake", "clawback.unnamed"},
    "flows": {"clawback.settings", "clawback.wiring", "clawback.pipeline", "clawback.pulling", "clawback.sweep"}
    | {"clawback.courier", "clawback.postman", "clawback.salesforce", "connectors.webhook_post", "processing.errors"}
    | {"processing.hints"},
    "clawback.serving": INNER
    | {"clawback.settings", "clawback.wiring", "clawback.sweep", "clawback.pipeline", "clawback.web", "flows"},
    "clawback.serve": INNER | {"clawback.settings", "clawback.wiring", "clawback.serving"},
    "clawback.demo": INNER
    | {
        "clawback.settings",
        "clawback.source_tables",
        "clawback.wiring",
        "clawback.deciding",
        "clawback.loading",
        "clawback.pipeline",
        "clawback.sweep",
    },
    "clawback.cli": INNER
    | {"clawback.settings", "clawback.wiring", "clawback.loading", "clawback.pipeline", "clawback.sweep"}
    | {"clawback.intake", "clawback.mailroom", "clawback.preview", "clawback.pulling", "clawback.revising"}
    | {"clawback.salesforce", "clawback.serve", "clawback.demo", "clawback.deciding"},
    "clawback": {"clawback.cli"},
}

PURE = {
    *("codes", "columns", "decide", "errors", "instants", "intent", "item_intent", "items", "model", "money", "rate"),
    *("reasons", "standing", "terms"),
}
PURE_IMPORTS = {
    "bisect",
    "calendar",
    "collections",
    "dataclasses",
    "datetime",
    "decimal",
    "enum",
    "fractions",
    "functools",
    "iso4217",
    "numpy",
    "pandas",
    "pyarrow",
    "re",
    "typing",
    "zoneinfo",
}
# Types of effectful modules that a pure one may name.
PURE_MAY_NAME = {"processing.catalog", "processing.match"}
NO_CLOCK = {"processing", "schemas", "connectors"}
LONGEST_MODULE = 400
LONGEST_FUNCTION = 50


def home(module: str) -> str:
    """The part of the table that a module belongs to: the longest of its prefixes that stands there."""
    parts = module.split(".")
    prefixes = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next(prefix for prefix in prefixes if prefix in MAY_IMPORT)


def dotted(path: Path) -> str:
    """A file's module name."""
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def tree(path: Path) -> ast.Module:
    """The parsed source of a module."""
    return ast.parse((ROOT / path).read_text())


def imported(path: Path) -> Iterator[str]:
    """All modules that a module imports, wherever the import stands."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)


def allowed(mine: str, other: str) -> bool:
    """Whether the table lets one part import a module."""
    own = home(mine)
    return any(other == one or other.startswith(f"{one}.") for one in MAY_IMPORT[own] | {own})


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_imports_point_inwards(path: Path) -> None:
    """A module imports only what the table allows its part."""
    ours = {name for name in imported(path) if name.split(".")[0] in PACKAGES}
    # `from processing import tables` names the package on the way to the module.
    ours -= {name for name in ours if any(other.startswith(f"{name}.") for other in ours)}
    assert [name for name in sorted(ours) if not allowed(dotted(path), name)] == []


@pytest.mark.parametrize("name", sorted(PURE))
def test_pure_modules_import_nothing_impure(name: str) -> None:
    """The rules know numbers, texts and days; no file, no database, no network."""
    path = Path("processing") / f"{name}.py"
    pure = {f"processing.{one}" for one in PURE} | PURE_MAY_NAME
    outside = [
        one
        for one in imported(path)
        if one.split(".")[0] not in PURE_IMPORTS
        and not any(one == known or one.startswith(f"{known}.") for known in pure)
    ]
    assert outside == []


@pytest.mark.parametrize("path", [path for path in MODULES if path.parts[0] in NO_CLOCK], ids=str)
def test_time_is_an_argument(path: Path) -> None:
    """Below flows, the command line and the servers nobody reads the clock."""
    reads = [
        node.lineno
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute) and node.attr in {"now", "today", "utcnow", "time_ns"}
    ]
    assert reads == []


@pytest.mark.parametrize("path", [*MODULES, *MIGRATIONS], ids=str)
def test_rooms_are_small(path: Path) -> None:
    """No module has more than 400 lines, no function more than 50."""
    assert len((ROOT / path).read_text().splitlines()) <= LONGEST_MODULE
    functions = [node for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert [node.name for node in functions if (node.end_lineno or 0) - node.lineno >= LONGEST_FUNCTION] == []
