"""The path of a configuration's state folder, and the sheet in it with the data for actions without the live process. It has no secret."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from liqshell import private
from liqshell.errors import DataError
from liqshell.input_file import content
from liqshell.state.prefix import short_name

SHEET = "rescue.json"
STOP_SHARE = 0.005


def state_folder(out: str | Path, name: str) -> Path:
    """The state folder of a configuration: [run] out / state / name. It outlives the runs, whose folders are new each time."""
    return Path(out) / "state" / name


@dataclass(frozen=True, slots=True)
class Sheet:
    """rest: address of the venue. environment: whose keys. name: what our prefixes begin with. symbols: what we may touch. stop_share: distance of a
    stop, as a share of the entry price, where the image does not say one; 0 = then flatten. recv_window_ms: of signed requests. ca: PEM file of the
    authority that alone is trusted, "" = the system's."""

    rest: str
    environment: str
    name: str
    symbols: tuple[str, ...]
    stop_share: float = STOP_SHARE
    recv_window_ms: int = 5000
    ca: str = ""

    def __post_init__(self) -> None:
        if self.name != short_name(self.name):
            object.__setattr__(self, "name", short_name(self.name))

    def save(self, folder: str | Path) -> None:
        """Into the state folder, whole or not at all."""
        path = Path(folder) / SHEET
        private.folder(path.parent)
        temporary = path.with_suffix(".new")
        private.write(temporary, json.dumps(asdict(self), indent=1) + "\n")
        os.replace(temporary, path)

    @classmethod
    def load(cls, folder: str | Path) -> Sheet:
        """DataError where there is none, or not a whole one."""
        path = Path(folder) / SHEET
        try:
            found = json.loads(content(path))
            found["symbols"] = tuple(found["symbols"])
            texts = all(isinstance(found[key], str) for key in ("rest", "environment", "name")) and all(isinstance(s, str) for s in found["symbols"])
            if not texts or set(found) - {field.name for field in fields(cls)}:
                raise ValueError("not its fields")
            return cls(**found)
        except OSError as why:
            raise DataError(
                str(path),
                f"cannot be read: {why.strerror}",
                "a file that a live run writes into its state folder",
                "Give the configuration file instead",
            ) from None
        except (ValueError, KeyError, TypeError) as why:
            raise DataError(
                str(path), f"not a rescue sheet: {why}", "a file that a live run writes into its state folder", "Give the configuration file instead"
            ) from None
