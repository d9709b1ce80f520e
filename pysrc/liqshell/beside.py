"""Relative imports in a user's Python file: `from .decoder import PublicDecoder` reads decoder.py of its folder.

Which files these are is read from the text, before anything of it runs: so they belong to the SHA-256 that a run writes, and what is imported is what
was hashed. They are private to the file that names them. Two folders may both have a decoder.py, and no folder hides an installed package.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.abc
import importlib.machinery
import sys
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Code:
    """A file as it was read, and the files beside it that it imports, by the name of their modules."""

    path: Path
    source: bytes
    helpers: Mapping[str, bytes]

    @property
    def sha256(self) -> str:
        """Of the file; where it imports others from its folder, of the list of all: a line with name and SHA-256 for each."""
        if not self.helpers:
            return hashlib.sha256(self.source).hexdigest()
        files = {self.path.stem: self.source, **self.helpers}
        return hashlib.sha256("".join(f"{name} {hashlib.sha256(files[name]).hexdigest()}\n" for name in sorted(files)).encode()).hexdigest()


def read(path: Path) -> Code:
    """The file and all that it imports from its folder, also through others. OSError where the file cannot be read."""
    source, helpers = path.read_bytes(), dict[str, bytes]()
    waiting = [source]
    while waiting:
        for name in _named(waiting.pop()) - {*helpers, path.stem}:
            file = path.with_name(f"{name}.py")
            if file.is_file():
                helpers[name] = file.read_bytes()
                waiting.append(helpers[name])
    return Code(path, source, helpers)


def run(code: Code, name: str) -> types.ModuleType:
    """Run the file as a package of this name whose modules are those beside it; each time anew, them too."""
    for known in [one for one in sys.modules if one.startswith(f"{name}.")]:
        del sys.modules[known]
    module = types.ModuleType(name)
    module.__file__, module.__package__, module.__path__ = str(code.path), name, []
    sys.modules[name] = sys.modules[f"{name}.{code.path.stem}"] = module  # dataclasses and pickle look their module up
    _FINDER.codes[name] = code
    if _FINDER not in sys.meta_path:
        sys.meta_path.append(_FINDER)
    exec(compile(code.source, str(code.path), "exec"), vars(module))  # of the bytes that were hashed, not of what the file may hold by now
    return module


def hint(why: BaseException, path: Path) -> str:
    """What to do about an import that has failed, "" = nothing that we know."""
    name = why.name if isinstance(why, ModuleNotFoundError) and why.name else ""
    package, _, last = name.rpartition(".")
    if package in _FINDER.codes:
        return f"A module beside it is a file {last}.py in {path.parent}, imported by a statement `from .{last} import ...`"
    stem = name.partition(".")[0]
    return f"Write `from .{stem} import ...`: that is the file beside it" if stem and path.with_name(f"{stem}.py").is_file() else ""


def _named(source: bytes) -> set[str]:
    """Modules of the own folder that the text imports; none where it is not Python, which running it will say."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    found = [one for one in ast.walk(tree) if isinstance(one, ast.ImportFrom) and one.level == 1]
    return {name for one in found for name in ([one.module] if one.module else [alias.name for alias in one.names])}


@dataclass
class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives the modules beside files that were read, from the bytes that were read."""

    codes: dict[str, Code] = field(default_factory=dict)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        package, _, name = fullname.rpartition(".")
        code = self.codes.get(package)
        if code is None or name not in code.helpers:
            return None
        return importlib.machinery.ModuleSpec(fullname, self, origin=str(code.path.with_name(f"{name}.py")))

    def exec_module(self, module: types.ModuleType) -> None:
        package, _, name = module.__name__.rpartition(".")
        code = self.codes[package]
        module.__file__ = str(code.path.with_name(f"{name}.py"))
        exec(compile(code.helpers[name], module.__file__, "exec"), vars(module))


_FINDER = _Finder()
