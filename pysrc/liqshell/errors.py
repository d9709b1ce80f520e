"""The errors of the program. The type of an error shows who can repair it. Its text names the place, the value found, the value expected, and the
action.

ConfigError  the person who wrote the configuration or the command line
DataError    the file that was handed in
VenueError   the venue, or the way to it
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


class LiqshellError(Exception):
    """Base of every error that liqshell raises on purpose. Subclasses set `exit_code`, the status of a command that ends with it."""

    exit_code = 1

    def __init__(self, where: str, found: str, expected: str = "", action: str = ""):
        self.where = where  # file, file:line, key path, url, order id ...
        self.found = found
        self.expected = expected
        self.action = action  # what the reader should do now
        super().__init__(where, found, expected, action)

    def __str__(self) -> str:
        text = f"{self.where}: {self.found}" if self.where else self.found
        if self.expected:
            text += f"; expected {self.expected}"
        if self.action:
            text += f". {self.action}"
        return text


class ConfigError(LiqshellError):
    """The configuration or the command line is wrong. `problems` lists every fault found, not only the first."""

    exit_code = 2

    def __init__(self, where: str, found: str = "", expected: str = "", action: str = "", problems: Iterable[LiqshellError] = ()):
        super().__init__(where, found, expected, action)
        self.problems = tuple(problems)

    def __str__(self) -> str:
        if not self.problems:
            return super().__str__()
        count = len(self.problems)
        head = f"{self.where}: {count} problem{'s' if count > 1 else ''}; nothing was started"
        return "\n  ".join([head, *map(str, self.problems)])


@contextmanager
def of_file(file: Path) -> Iterator[None]:
    """An error about a section of a configuration ('[data]') names the file, too."""
    try:
        yield
    except LiqshellError as why:
        if why.where.startswith("["):
            why.where = f"{file}: {why.where}"
        raise


def listed(texts: Iterable[str]) -> str:
    """Several messages, one line each; an expectation that several share is printed once, below them."""
    heads: dict[str, list[str]] = {}
    for text in texts:
        head, _, expected = text.partition("; expected ")
        heads.setdefault(expected, []).append(head)
    return "\n".join(line for expected, several in heads.items() for line in (*several, *([f"  expected {expected}"] if expected else [])))


def check_output(option: str, path: Path | None) -> None:
    """ConfigError if a file cannot be written: raised before the work, not after it."""
    if path is not None and (path.is_dir() or not path.absolute().parent.is_dir()):
        raise ConfigError(f"{option} {path}", "is a folder" if path.is_dir() else "no such folder", "a file in an existing folder")


class DataError(LiqshellError):
    """A file or stream that was handed in is not what it should be."""

    exit_code = 2


class VenueError(LiqshellError):
    """The venue refused, misbehaved or could not be reached. `code` is the venue's own error code, 0 where it gave none. passing: it may be gone when
    it is asked again."""

    def __init__(self, where: str, found: str, expected: str = "", action: str = "", code: int = 0, passing: bool = False):
        super().__init__(where, found, expected, action)
        self.code = code
        self.passing = passing
