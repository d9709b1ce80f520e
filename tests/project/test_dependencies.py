"""What a deployment installs: floors without known advisories, a lock file with hashes; and TLS that nothing in the tree turns off."""

import ast
import re
import subprocess
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKED = ("keyring", "ccxt")  # extras that are locked with the rest
LINE = re.compile(r"(?P<name>[a-z0-9.-]+)==(?P<version>[^ ;\\]+)(?: ; (?P<marker>[^\\]+?))? \\")


def declared() -> list[Requirement]:
    """Everything that pyproject.toml asks for, whoever asks for it."""
    project = PROJECT["project"]
    texts = [
        *PROJECT["build-system"]["requires"],
        *project["dependencies"],
        *(text for some in project["optional-dependencies"].values() for text in some),
    ]
    return [Requirement(text) for text in texts if not text.startswith("liqcore")]


def locked() -> dict[str, list[tuple[Version, list[str]]]]:
    """Name -> versions with their hashes, of requirements.lock."""
    out: dict[str, list[tuple[Version, list[str]]]] = {}
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        if found := LINE.fullmatch(line):
            out.setdefault(canonicalize_name(found["name"]), []).append((Version(found["version"]), []))
            last = found["name"]
        elif not line.startswith("#"):
            digest = re.fullmatch(r"    --hash=sha256:([0-9a-f]{64})(?: \\)?", line)
            assert digest, f"requirements.lock: {line!r}: neither a package nor a hash"
            out[canonicalize_name(last)][-1][1].append(digest[1])
    return out


def floors() -> dict[str, Version]:
    """The table of RELEASING.md."""
    rows = re.findall(r"^\| ([a-z0-9-]+) \| ([0-9.]+) \| .*(?:CVE|PYSEC|GHSA)-.*\|$", (ROOT / "RELEASING.md").read_text(), re.M)
    return {name: Version(version) for name, version in rows}


def floor_of(one: Requirement) -> Version:
    return max((Version(part.version) for part in one.specifier if part.operator in (">=", "~=", "==")), default=Version("0"))


def test_floors_are_those_without_known_advisories():
    wanted = floors()
    assert {"aiohttp", "orjson", "pyarrow"} <= set(wanted)
    found = {name: min((floor_of(one) for one in declared() if canonicalize_name(one.name) == name), default=None) for name in wanted}
    assert found == wanted


def test_every_runtime_dependency_has_a_floor():
    extras = PROJECT["project"]["optional-dependencies"]
    texts = PROJECT["project"]["dependencies"] + [
        text for name in extras if name not in ("bench", "examples", "dev", "test") for text in extras[name]
    ]
    assert not [text for text in texts if floor_of(Requirement(text)) == Version("0")]


def test_the_lock_file_holds_everything_with_hashes_and_names_no_host():
    """`.ci/lock` writes it anew where this fails after a change of pyproject.toml."""
    pins = locked()
    wanted = [
        Requirement(text)
        for text in PROJECT["project"]["dependencies"] + [t for name in LOCKED for t in PROJECT["project"]["optional-dependencies"][name]]
    ]
    for one in wanted:
        versions = [version for version, _ in pins.get(canonicalize_name(one.name), [])]
        assert versions and all(one.specifier.contains(version) for version in versions), f"{one}: locked {versions}"
    assert all(len(hashes) == len(set(hashes)) >= 1 for some in pins.values() for _, hashes in some)
    for name, floor in floors().items():
        assert all(version >= floor for version, _ in pins.get(name, [])), name
    text = (ROOT / "requirements.lock").read_text()
    assert not re.search(r"://|@ |--(extra-)?index-|--find-links|--trusted-", text)


def test_what_the_locked_packages_need_is_locked_too():
    """By the metadata of those that are installed here: an unlocked one would end `pip install --require-hashes`."""
    pins, seen = locked(), 0
    for name in pins:
        try:
            needs = requires(name) or []
        except PackageNotFoundError:
            continue  # of another platform or Python
        seen += 1
        for text in needs:
            one = Requirement(text)
            if one.marker is None or one.marker.evaluate({"extra": ""}):
                assert canonicalize_name(one.name) in pins, f"{name} needs {text}"
    assert seen >= 10


def test_the_release_check_audits_the_lock_file():
    audit = (ROOT / ".ci" / "audit").read_text()
    assert "pip-audit" in audit and "--strict" in audit and "-r requirements.lock" in audit
    assert ".ci/audit" in (ROOT / "RELEASING.md").read_text() and ".ci/lock" in (ROOT / "RELEASING.md").read_text()
    assert "pip-audit" not in (ROOT / ".ci" / "run").read_text()  # it asks a registry: not for every change


# ---- TLS ----

OFF = re.compile(
    r"CERT_NONE|CERT_OPTIONAL|_create_unverified_context|_create_stdlib_context|InsecureRequestWarning|PYTHONHTTPSVERIFY|NODE_TLS_REJECT|"
    r"GIT_SSL_NO_VERIFY|sslVerify|--insecure\b|\bcurl\b.* -k\b|--no-check-certificate|--trusted" + "-host"
)
FALSE = {"verify", "ssl", "verify_ssl", "check_hostname", "tls_verify", "cert_reqs", "ssl_context"}
ALLOWED = {"tests/project/test_dependencies.py": "this page", "tests/shell/live/test_transport.py": "it shows that such a context signs nothing"}


def tracked() -> list[str]:
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("not a git checkout: what is looked at is what git tracks")
    return [name for name in done.stdout.splitlines() if (ROOT / name).is_file() and name not in ALLOWED]


def turned_off(source: str) -> list[str]:
    """Places of a Python file where a check of certificates or host names is switched off: by a keyword, an attribute, a dictionary, a bare context."""
    out = []
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.keyword)
            and node.arg in FALSE
            and isinstance(node.value, ast.Constant)
            and node.value.value in (False, 0, "", "CERT_NONE")
        ):
            out.append(f"{node.value.lineno}: {node.arg} = {node.value.value}")
        elif isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Constant) and node.value.value is False:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            out += [f"{node.lineno}: .{one.attr} = False" for one in targets if isinstance(one, ast.Attribute) and one.attr in FALSE]
        elif isinstance(node, ast.Dict):
            out += [
                f"{key.lineno}: {key.value!r}: False"
                for key, value in zip(node.keys, node.values, strict=True)
                if isinstance(key, ast.Constant) and key.value in FALSE and isinstance(value, ast.Constant) and value.value is False
            ]
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) == "SSLContext":
            out.append(f"{node.lineno}: SSLContext(): make it with ssl.create_default_context")
    return out


def test_tls_is_never_turned_off_in_the_tree():
    faults = []
    for name in tracked():
        if name.endswith((".so", ".png", ".parquet", ".gz", ".lock")):
            continue
        text = (ROOT / name).read_text(errors="replace")
        faults += [f"{name}:{n}: {line.strip()[:100]}" for n, line in enumerate(text.splitlines(), 1) if OFF.search(line)]
        if name.endswith(".py") and any(word in text for word in ("SSLContext", *FALSE)):
            faults += [f"{name}:{fault}" for fault in turned_off(text)]
    assert not faults


@pytest.mark.parametrize(
    "source",
    [
        "f(verify=False)",
        "s.get(u, ssl=False)",
        "c.check_hostname = False",
        "x = {'verify': False}",
        "ssl.SSLContext(ssl.PROTOCOL_TLS)",
        "C(verify_ssl=0)",
    ],
)
def test_the_look_finds_what_it_looks_for(source):
    assert turned_off(source)


def test_one_place_signs_and_nothing_signs_without_a_way():
    """HMAC belongs to the module of the keys of each venue (and to the emulated one, which checks them); whoever calls sign() hands a way over."""
    users, calls = set(), []
    for name in tracked():
        if not name.startswith(("pysrc/liqshell/", "liqcore/")) or not name.endswith(".py"):
            continue
        for node in ast.walk(ast.parse((ROOT / name).read_text())):
            if (
                isinstance(node, ast.Import)
                and any(alias.name == "hmac" for alias in node.names)
                or isinstance(node, ast.ImportFrom)
                and node.module == "hmac"
            ):
                users.add(name)
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "sign"
                and "keys" in ast.unparse(node.func.value)
            ):
                calls.append((name, len(node.args)))
    assert users == {
        "pysrc/liqshell/venues/bybit/signing.py",
        "pysrc/liqshell/venues/polymarket/signing.py",
        "pysrc/liqshell/emulator/exchange/keys.py",
    }
    assert calls and all(count == 2 for _, count in calls)
