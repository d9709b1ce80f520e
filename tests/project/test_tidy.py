"""Structure is a test: the rules of the house, checked on what git tracks.

A rule that a new module breaks is repaired in the module, not here. A new module is given its place in the import order below:
whoever adds one says there what it may build on.
"""

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Who may import whom. A module imports what stands in lines above its own, and what the notes allow inside a line.
CORE = (
    "_version argument event fees parallel user_error user_state snapshot old_paths",
    "instrument audit timetable refused kernels",
    "codec market request validate bracket_spec",
    "features detectors",
    "policy",
    "execution",
    "view",
    "engine",
    "guard simulation",
    "batch",
    "sweep",
    "__init__",
)
SHELL = (
    "backstops beside clock errors event_columns fitted iso log pages",
    "arrow_column ending fields input_file name_lists plugins transport vault",
    "private policies venues web",
    "config recording rest",
    "formats grades news state",
    "judge",
    "gateway run store",
    "live report binary",
    "backtest progress",
    "gate doctor emulator",
    "sweep research",
    "warm_up_sources service client",
    "demo",
    "commands",
    "cli",
    "__main__",
)
# cli knows its commands by name only; report and friends read what a run left, so nothing on the trading path may import them
TRADING_PATH = ["venues", "gateway", "run", "live", "recording", "state", "engine", "binary"]
OFFLINE = ["report", "research", "demo", "emulator", "backtest", "sweep", "doctor", "gate"]

CLOCKS_AND_IO = {
    "time",
    "datetime",
    "os",
    "sys",
    "io",
    "socket",
    "ssl",
    "select",
    "selectors",
    "asyncio",
    "threading",
    "multiprocessing",
    "subprocess",
    "logging",
    "random",
    "secrets",
    "uuid",
    "pathlib",
    "shutil",
    "tempfile",
    "signal",
    "urllib",
    "http",
    "sqlite3",
    "warnings",
}
CORE_EXCEPTIONS = {
    ("__init__", "os.path"),
    ("old_paths", "sys"),
    ("old_paths", "warnings"),  # get_include(); imports by an old name
    ("parallel", "os"),
    ("parallel", "threading"),
}  # processors that may be used; work beside the caller
C_CLOCKS_AND_IO = re.compile(
    r"\b(clock_gettime|gettimeofday|time_ns|monotonic|perf_counter|fopen|fprintf|printf|puts|getenv|rand|srand|random|"
    r"drand48|print|open|input)\s*\("
)
ALLOCATION = re.compile(r"\b(malloc|calloc|realloc|PyMem_\w*alloc)\s*\(")
ALLOWED_TO_ALLOCATE = re.compile(r"__cinit__|__init__|_init$|_new$|_make$|^_?build|_alloc$|capsule|create|^init_|^make_|^_compile$|^open_c$")
BANNED_NAMES = {"utils", "util", "core", "common", "helpers", "helper", "base", "manager", "misc"}
KERNELS = {
    "kernels/window": "window",
    "kernels/quantile": "quantile",
    "kernels/zscore": "zscore",
    "kernels/hawkes": "hawkes",
    "detectors/cascade": "detect",
    "detectors/segment_anomaly": "anomaly",
    "detectors/usd_window": "dollar",
    "detectors/imbalance": "imbalance",
    "detectors/event_rate": "rate",
    "detectors/bar_clock": "bars",
    "features/features": "feature",
}


@cache
def tracked() -> tuple[str, ...]:
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("not a git checkout: the rules are checked on tracked files")
    return tuple(name for name in done.stdout.splitlines() if (ROOT / name).is_file())


def files(*suffixes: str, under: str = "") -> list[str]:
    return [name for name in tracked() if name.endswith(suffixes) and name.startswith(under)]


@cache
def source(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@cache
def code(name: str) -> str:
    """The source with comments and the insides of strings blanked, line numbers kept."""
    comment = r"/\*.*?\*/|//[^\n]*" if name.endswith(".h") else r"\#[^\n]*"
    text = r'"""(?:.|\n)*?"""|\'\'\'(?:.|\n)*?\'\'\'|"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\''
    return re.sub(f"{text}|{comment}", lambda m: "\n" * m[0].count("\n"), source(name), flags=re.S)


@cache
def imports(name: str) -> frozenset[str]:
    """Dotted names that a .py, .pyi, .pyx or .pxd imports or cimports, wherever in the file."""
    found: set[str] = set()
    text = re.sub(r"\(([^()]*)\)", lambda m: m[0].replace("\n", " "), code(name)) if name.endswith((".pyx", ".pxd")) else ""
    if text:
        for module, what in re.findall(r"^[ \t]*from[ \t]+([\w.]+)[ \t]+c?import[ \t]+([^\n]*)", text, re.M):
            found.add(module)
            if module in ("liqcore", "liqshell"):
                found |= {f"{module}.{item.split()[0]}" for item in re.sub(r"[()]", "", what).split(",") if item.strip()}
        for what in re.findall(r"^[ \t]*c?import[ \t]+([^\n]*)", text, re.M):
            found |= {item.split()[0] for item in what.split(",") if item.strip()}
        return frozenset(found)
    for node in ast.walk(ast.parse(source(name))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                package = name.removeprefix("pysrc/").split("/")[: -node.level]
                found.add(".".join([*package, *(node.module or "").split(".")]).rstrip("."))
                continue
            found.add(node.module or "")
            if node.module in ("liqcore", "liqshell"):
                found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(found)


def part(module: str) -> str:
    """liqshell.venues.bybit.decoder -> venues."""
    return module.split(".")[1] if "." in module else "__init__"


def part_of_file(name: str) -> str:
    inner = name.split("liqshell/" if "liqshell/" in name else "liqcore/", 1)[1]
    return inner.split("/")[0].split(".")[0]


def ranks(order: tuple[str, ...]) -> dict[str, int]:
    return {module: n for n, line in enumerate(order) for module in line.split()}


def order_faults(name: str, package: str, order: tuple[str, ...]) -> list[str]:
    rank = ranks(order)
    me = part_of_file(name)
    if me not in rank:
        return [f"{name}: {package}.{me} has no place in the import order: give it one in tests/project/test_tidy.py"]
    out = []
    for module in sorted(imports(name)):
        other = part(module)
        if module.split(".")[0] != package or other == me or other not in rank and not module.count("."):
            continue
        if other not in rank or package == module:
            continue  # a name of the package itself, such as liqcore.Engine
        if rank[other] >= rank[me]:
            out.append(f"{name}: imports {module}, which stands at or below its own line in the import order")
    return out


SOURCES = (".py", ".pyi", ".pyx", ".pxd")


def test_core_imports_one_way():
    assert not [fault for name in files(*SOURCES, under="liqcore/") for fault in order_faults(name, "liqcore", CORE)]


def test_shell_imports_one_way():
    # __init__ of a package counts as the package
    faults = [
        fault
        for name in files(*SOURCES, under="pysrc/liqshell/")
        if name != "pysrc/liqshell/__init__.py"
        for fault in order_faults(name, "liqshell", SHELL)
    ]
    assert not faults


def module_of(name: str) -> str:
    return name.removeprefix("pysrc/").rsplit(".", 1)[0].replace("/", ".").removesuffix(".__init__")


def import_graph(under: str) -> dict[str, set[str]]:
    """Module -> modules of the same folder tree that it imports, type checkers' imports among them."""
    names = files(*SOURCES, under=under)
    modules = {module_of(name) for name in names}
    out: dict[str, set[str]] = {module: set() for module in modules}
    for name in names:
        for wanted in imports(name):
            while wanted and wanted not in modules:
                wanted = wanted.rpartition(".")[0]
            if wanted.count(".") and wanted != module_of(name):
                out[module_of(name)].add(wanted)
    return out


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Groups of modules that import each other, directly or through others."""
    reached: dict[str, set[str]] = {}
    for module in graph:
        found, ahead = set(), list(graph[module])
        while ahead:
            if (other := ahead.pop()) not in found:
                found.add(other)
                ahead += graph.get(other, ())
        reached[module] = found
    together = {frozenset(other for other in found if module in reached.get(other, ())) for module, found in reached.items() if module in found}
    return sorted(sorted(group) for group in together)


def test_no_module_imports_itself_through_others():
    # a package's __init__ may bring in its own modules, which import their neighbours through it: it is left out
    for under in ("liqcore/", "pysrc/liqshell/"):
        graph = import_graph(under)
        packages = {module for module in graph if any(other.startswith(module + ".") for other in graph)}
        found = circles({module: {w for w in wanted if w not in packages} for module, wanted in graph.items() if module not in packages})
        assert not found, found


def test_a_circle_is_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == [["b", "c"]]
    assert circles({"a": {"b"}, "b": {"c"}, "c": set()}) == []


def test_core_does_not_know_the_shell_and_nothing_ships_that_knows_the_tests():
    for name in files(*SOURCES, under="liqcore/"):
        assert not {m for m in imports(name) if m.split(".")[0] in ("liqshell", "tests", "benches", "examples")}, name
    for name in files(*SOURCES, under="pysrc/"):
        assert not {m for m in imports(name) if m.split(".")[0] in ("tests", "benches", "examples", "oracle")}, name


def test_nothing_on_the_trading_path_imports_what_reads_afterwards():
    for name in files(*SOURCES, under="pysrc/liqshell/"):
        if part_of_file(name) in TRADING_PATH:
            assert not {m for m in imports(name) if m.startswith("liqshell.") and part(m) in OFFLINE}, name


def test_shell_never_imports_numba():
    for name in files(*SOURCES, under="pysrc/liqshell/"):
        found = {m for m in imports(name) if m.split(".")[0] == "numba" or m == "liqcore.batch"}
        assert not found or part_of_file(name) in OFFLINE, f"{name}: {found}"


def test_core_reads_no_clock_does_no_io_and_draws_no_random_number():
    faults = []
    for name in files(*SOURCES, under="liqcore/"):
        for module in imports(name):
            top, stem = module.split(".")[0], Path(name).stem
            if (top in CLOCKS_AND_IO or module in ("libc.time", "libc.stdio", "posix.time", "numpy.random")) and (
                stem,
                module,
            ) not in CORE_EXCEPTIONS:
                faults.append(f"{name}: imports {module}")
    for name in files(".py", ".pyx", ".pxd", ".h", under="liqcore/"):
        for n, line in enumerate(code(name).splitlines(), 1):
            if C_CLOCKS_AND_IO.search(line) or re.search(r"np\.random|#\s*include\s*<(time|stdio)\.h>", line):
                faults.append(f"{name}:{n}: {line.strip()}")
    assert not faults


def test_venue_files_and_policies_are_pure():
    for name in files(".py", under="pysrc/liqshell/venues/") + files(".py", under="pysrc/liqshell/policies/"):
        found = {m for m in imports(name) if m.split(".")[0] in CLOCKS_AND_IO | {"picows", "aiohttp", "uvloop", "websockets"}}
        assert not found, f"{name}: {found}: venue and policy files are functions of their arguments"


FUNCTION = re.compile(r"^([ \t]*)(?:def|cdef|cpdef)\s(?!class\b|enum\b|struct\b|extern\b)[^=\n]*?\b(\w+)\s*\(", re.M)


def functions(name: str) -> list[tuple[str, int, int]]:
    """(name, first line, number of lines) of the functions of a file."""
    if name.endswith(".py"):
        return [
            (node.name, node.lineno, (node.end_lineno or 0) - node.lineno + 1)
            for node in ast.walk(ast.parse(source(name)))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        ]
    lines, out = code(name).splitlines(), []
    for match in FUNCTION.finditer(code(name)):
        first = code(name).count("\n", 0, match.start())
        depth, last, head = len(match[1].expandtabs()), first, True
        for n in range(first, len(lines)):
            text = lines[n]
            if head:  # the signature may go over several lines
                head = not text.rstrip().endswith(":")
                last = n
            elif text.strip():
                if len(text) - len(text.lstrip()) <= depth:
                    break
                last = n
        out.append((match[2], first + 1, last - first + 1))
    return out


LINES_MAX = 800
ONE_CLASS = {"liqcore/engine.pyx": 1000}  # rather one long class than a chain of bases with one subclass each


def test_files_and_functions_fit_in_a_head():
    faults = []
    for name in files(".py", ".pyx", ".pxd"):
        length = source(name).count("\n")
        limit = ONE_CLASS.get(name, LINES_MAX)
        if length > limit:
            faults.append(f"{name}: {length} lines, the limit is {limit}")
        faults += [f"{name}:{line}: {function} has {count} lines, the limit is 70" for function, line, count in functions(name) if count > 70]
    assert not faults


def test_lines_of_what_ships_are_at_most_150_columns():
    assert not [
        f"{name}:{n}: {len(line)} columns"
        for name in files(*SOURCES, ".h")
        if not name.startswith(("tests/", "benches/"))
        for n, line in enumerate(source(name).splitlines(), 1)
        if len(line) > 150
    ]


@pytest.mark.parametrize("what", [["check", "--output-format", "concise"], ["format", "--check"]])
def test_the_linter_finds_nothing_and_the_formatter_changes_nothing(what):
    """The rules are in pyproject.toml: undefined and unused names first of all, which a rename leaves behind."""
    done = subprocess.run([sys.executable, "-m", "ruff", *what, "--no-cache", str(ROOT)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_compiled_module_has_its_declarations_and_stubs():
    names = set(tracked())
    faults = [
        f"{name}: no {Path(name).stem}{suffix} beside it"
        for name in files(".pyx")
        if name.startswith(("liqcore/", "pysrc/"))
        for suffix in (".pxd", ".pyi")
        if name[:-4] + suffix not in names
    ]
    assert not faults


def test_every_kernel_has_an_oracle():
    names = set(tracked())
    faults = [
        f"{kernel}: no such module, or no tests/oracle/{oracle}.py"
        for kernel, oracle in KERNELS.items()
        if not {f"liqcore/{kernel}.pyx", f"tests/oracle/{oracle}.py"} <= names
    ]
    assert not faults
    for oracle in files(".py", under="tests/oracle/"):
        found = {m for m in imports(oracle) if m.split(".")[0] in ("liqcore", "liqshell", "numba", "cython")}
        assert not found - {"liqcore.event"}, f"{oracle}: an oracle is independent plain Python (NumPy at most), it imports {found}"


def test_memory_is_allocated_at_init_only():
    faults = []
    for name in files(".pyx", ".pxd", under="liqcore/"):
        spans = functions(name)
        for n, line in enumerate(code(name).splitlines(), 1):
            if ALLOCATION.search(line) and "cimport" not in line and "nogil:" not in line.split("(")[0]:
                owner = max((s for s in spans if s[1] <= n < s[1] + s[2]), key=lambda s: s[1], default=("module level", 0, 0))[0]
                if not ALLOWED_TO_ALLOCATE.search(owner):
                    faults.append(f"{name}:{n}: {owner} allocates: {line.strip()}")
    assert not faults


def test_no_file_has_a_name_that_says_nothing():
    assert not [name for name in tracked() if Path(name).stem.lower() in BANNED_NAMES]


def test_a_compiled_module_that_a_text_names_exists():
    """A docstring that says "see window.pxd" outlives a renamed module."""
    known = {Path(name).name for name in files(".pyx", ".pxd")}
    found = [
        f"{name}: {named}"
        for name in files(".py", ".pyx", ".pxd", ".h", ".md")
        if name.startswith(("liqcore/", "pysrc/", "docs/"))
        for named in re.findall(r"\b[a-z]\w*\.(?:pyx|pxd)\b", source(name))
        if named not in known
    ]
    assert not found, found


def test_no_machine_path_or_registry_host_is_written_down():
    # in pieces, or this file would be its own finding
    places = [r"(?<![\w.~}/-])/" + top + r"/\w" for top in ("work", "opt", "root", "home", "Users")]
    hosts = [r"\bpypi" + r"\.org", "python" + "hosted", "arti" + "factory", r"\bnexus" + r"\.", "index" + "-url", r"trusted" + "-host"]
    pattern = re.compile("|".join(places + hosts))
    faults = []
    for name in tracked():
        try:
            text = source(name)
        except UnicodeDecodeError:
            continue
        faults += [f"{name}:{n}: {line.strip()[:100]}" for n, line in enumerate(text.splitlines(), 1) if pattern.search(line)]
    assert not faults


def test_arithmetic_is_never_relaxed():
    faults = [
        f"{name}: {word}"
        for name in [*files(".py", ".pyx", ".pxd", ".h", under="liqcore/"), "setup.py"]
        for word in ("fastmath=True", "-ffast-math", "-Ofast", "-march=native", "-funsafe-math", "associative-math")
        if word in code(name) or name == "setup.py" and word in source(name)
    ]
    assert not faults
    assert "-ffp-contract=off" in source("setup.py")


def test_exceptions_are_never_swallowed_blindly():
    faults = []
    for name in files(".py", under="pysrc/") + files(".py", under="liqcore/"):
        for node in ast.walk(ast.parse(source(name))):
            if isinstance(node, ast.ExceptHandler):
                bare = node.type is None
                broad = isinstance(node.type, ast.Name) and node.type.id in ("Exception", "BaseException")
                if bare or broad and all(isinstance(inner, ast.Pass | ast.Continue) for inner in node.body):
                    faults.append(f"{name}:{node.lineno}")
    assert not faults


def test_importing_liqcore_needs_numpy_only():
    program = (
        "import sys, liqcore; "
        "print([m for m in ('numba', 'orjson', 'uvloop', 'picows', 'aiohttp', 'rich', 'cyclopts', 'liqshell') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("from liqcore.event cimport event_t\n", {"liqcore.event"}),
        ("from liqcore import event as schema, bracket_spec\n", {"liqcore", "liqcore.event", "liqcore.bracket_spec"}),
        ("from libc.math cimport (floor,\n    rint)\ncimport numpy as np, cython\n", {"libc.math", "numpy", "cython"}),
        ("# from liqshell import x\n'''\nimport time\n'''\nx = 'import os'\n", set()),
    ],
)
def test_the_reader_of_imports_itself(tmp_path, monkeypatch, text, expected):
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    (tmp_path / "liqcore").mkdir()
    name = f"liqcore/probe{abs(hash(text))}.pyx"
    (tmp_path / name).write_text(text)
    assert imports(name) == expected


def test_the_import_order_catches_a_violation(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    for name, text in (
        ("liqcore/kernels/window.pxd", "from liqcore.engine cimport Engine\n"),
        ("liqcore/unplaced.py", "x = 1\n"),
        ("liqcore/execution/risk.py", "from liqcore.execution.account import Account\n"),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    for kept in (source, code, imports):
        kept.cache_clear()
    try:
        assert len(order_faults("liqcore/kernels/window.pxd", "liqcore", CORE)) == 1
        assert "has no place" in order_faults("liqcore/unplaced.py", "liqcore", CORE)[0]
        assert order_faults("liqcore/execution/risk.py", "liqcore", CORE) == []
    finally:
        for kept in (source, code, imports):
            kept.cache_clear()
