"""The learnt state of a run: the state with which it begins, and the images that it writes for the next run.

A run begins with the first of these that exists: the source of `--warm-from`; the image of the previous run and the recording after it; the sources
of [warm]; the recordings of earlier runs of its name; else cold. A refused image is named in the log and in run.json, and renamed.
"""

from __future__ import annotations

import base64
import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from liqcore.user_error import text_of
from liqshell.config.sections import WarmConfig
from liqshell.ending import of_user
from liqshell.errors import DataError
from liqshell.recording import journal
from liqshell.recording.recorder import IMAGE, Recorder
from liqshell.run.pipeline import Pipeline
from liqshell.run.warm_up import Stopped, Warmer, known_of, policies_of, venues_of
from liqshell.state.learnt import Learnt, load, save, take

HOUR_NS = 3_600_000_000_000
TEXT_MAX = 48 << 20  # of an image in the first line of a recording
COST = 1000.0  # an image is taken so seldom that it costs less than 1 / COST of the time
LOOK_S = 1.0  # between two looks at how warm it is
KNOWN_S = 0.25  # between two looks at which thresholds are known, until all are
NAMES_MAX = 3  # contracts in a status line
_log = logging.getLogger("liqshell.live")


@dataclass(frozen=True)
class Material:
    """Something to learn from. name: for messages; into(warmer): lets it learn, DataError where it cannot."""

    name: str
    into: Callable[[Warmer], None]

    @classmethod
    def of_run(cls, folder: Path) -> Material:
        """The folder of a run, or its recording."""
        return cls(str(folder), lambda warmer: warmer.run(folder))


@dataclass
class Begun:
    """With what a run began. origin: what it learnt from; refused: what it did not use, and why."""

    learnt: Learnt | None = None
    text: str = ""  # as settings have it
    origin: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """For run.json."""
        out: dict[str, Any] = {"began": "warm" if self.learnt else "cold", "from": self.origin, "refused": self.refused, "notes": self.notes}
        if self.learnt is not None:
            head = self.learnt.head
            out |= {"since_ns": head["since_ns"], "until_ns": head["until_ns"], "holes": head["holes"], "contracts": self.learnt.progress()}
        return out


class Keeper:
    """config: [warm]. path: of the image. name, out: of earlier runs, "" = they are not looked for. materials: to learn from; first: instead of the
    image and of earlier runs. cold: begin with nothing, and leave an image all the same."""

    def __init__(
        self,
        config: WarmConfig,
        path: Path,
        *,
        name: str = "",
        out: Path | None = None,
        materials: Sequence[Material] = (),
        first: bool = False,
        cold: bool = False,
    ):
        self.config, self.path, self.name, self.out = config, path, name, out
        self.materials, self.first, self.cold = tuple(materials), first, cold
        self.begun = Begun()
        self.trouble = ""  # why the last image could not be written
        self.images = 0
        self._known: dict[str, dict[str, int]] = {}
        self._head: dict[str, Any] = {}
        self._due = self._look_due = 0.0
        self._all = False  # thresholds are known
        self._mark = 0
        self._contracts: list[dict[str, Any]] = []
        self._pool = ThreadPoolExecutor(1, "liqcore-learnt")
        self._writing: Future[None] | None = None

    # ---- the start ----

    def open(self, values: dict[str, Any], now_ns: int, folder: Path, stopping: Callable[[], bool] = lambda: False) -> Begun:
        """What the run of these settings begins with. folder: its own, which is not learnt from. Raises nothing for what lies there."""
        if (self.cold or self.first) and self.path.exists():
            self._refuse(f"{self.path}: the run is configured to begin {'cold' if self.cold else 'with other data'}", True)
        for way in self._ways(values, now_ns, folder, stopping):
            learnt = self._try(*way, now_ns)
            if learnt is not None:
                self.begun.learnt, self.begun.text = learnt, base64.b64encode(learnt.encode()).decode()
                _log.info("warm: learnt from %s", "; ".join(self.begun.origin))
                break
        else:
            _log.info("cold: no learnt state is used")
        return self.begun

    def _ways(self, values: dict[str, Any], now_ns: int, folder: Path, stopping: Callable[[], bool]) -> Iterator[tuple[Warmer, list[Material], bool]]:
        """The sources to try in turn: a new warmer, its source, and whether the source is the image."""
        if self.cold:
            return
        if not self.first:
            yield Warmer(values, stopping), [Material(str(self.path), lambda warmer: self._image(warmer, now_ns, folder))], True
        if self.materials:
            yield Warmer(values, stopping), list(self.materials), False
        runs = [] if self.first else self._earlier(now_ns, folder)
        if runs:
            warmer = Warmer(values, stopping)
            # as far back as one that began with what fits, and so has learnt from all before it
            enough = next((n for n, run in enumerate(runs) if warmer.began_alike(run)), len(runs) - 1)
            yield warmer, [Material.of_run(run) for run in reversed(runs[: enough + 1])], False

    def _try(self, warmer: Warmer, materials: list[Material], image: bool, now_ns: int) -> Learnt | None:
        """One of them; None where nothing came of it."""
        origin = []
        for material in materials:
            _log.info("learning from %s", material.name)
            try:
                material.into(warmer)
            except Stopped:
                return None
            except FileNotFoundError:
                continue  # there is no image yet
            except DataError as why:
                self._refuse(str(why), image)
            except Exception as why:  # a policy of the user's own may raise anything
                self._refuse(f"{material.name}: {type(why).__name__} while learning from it: {text_of(why)}", image)
                return None
            else:
                origin.append(material.name)
        if not warmer.since_ns or not origin:
            return None
        try:
            learnt = warmer.close()
            self._check(learnt, "; ".join(origin), now_ns)
        except DataError as why:
            self._refuse(str(why), image)
            return None
        self.begun.origin, self.begun.notes = origin, warmer.notes
        for note in warmer.notes:
            _log.warning("warm: %s", note)
        return learnt

    def _image(self, warmer: Warmer, now_ns: int, folder: Path) -> None:
        """The image, what its run recorded behind it, and runs since then that have left none."""
        found = load(self.path)
        if found is None:
            raise FileNotFoundError
        warmer.resume(found, str(self.path))
        warmer.tail(found)
        for run in reversed(self._earlier(now_ns, folder, warmer.end_ns)):
            try:
                warmer.run(run)
            except DataError as why:
                warmer.notes.append(str(why))

    def _check(self, learnt: Learnt, where: str, now_ns: int) -> None:
        """DataError where it is too old, not yet true, or too much."""
        age_h = (now_ns - learnt.until_ns) / HOUR_NS
        if age_h > self.config.age_max_h:
            raise DataError(
                where, f"the learnt state ends {age_h:,.1f} h ago", f"at most [warm] age_max_h = {self.config.age_max_h:g}", "The run begins cold"
            )
        if age_h < 0.0:
            raise DataError(
                where,
                f"the learnt state ends {-age_h * 3600:,.1f} s in the future",
                "learnt state that ends in the past",
                "Is it from another market, or is this machine's clock wrong?",
            )
        if len(learnt.engine) > TEXT_MAX and len(learnt.encode()) * 4 // 3 > TEXT_MAX:
            raise DataError(where, "too long for the first line of a recording", f"at most {TEXT_MAX >> 20} MiB", "Watch fewer contracts")

    def _refuse(self, why: str, image: bool) -> None:
        _log.warning("not used: %s", why)
        self.begun.refused.append(why)
        if image:
            with contextlib.suppress(OSError):
                self.path.rename(self.path.with_name(f"{self.path.name}.refused-{time.time_ns()}"))

    def _earlier(self, now_ns: int, folder: Path, after_ns: int = 0) -> list[Path]:
        """Folders of earlier runs of this name that began after that and are not too old, the newest first."""
        found = []
        after_ns = max(after_ns, now_ns - round(self.config.age_max_h * HOUR_NS))
        for file in self.out.glob(f"*/{journal.MANIFEST}") if self.out is not None and self.name else ():
            with contextlib.suppress(DataError):
                entry = journal.load_manifest(file.parent)
                started = entry.get("started_ns")
                if (
                    entry.get("name") == self.name
                    and entry.get("mode") in ("live", "paper")
                    and isinstance(started, int)
                    and after_ns <= started < now_ns
                    and file.parent.resolve() != folder.resolve()
                ):
                    found.append((started, file.parent))
        return [path for _, path in sorted(found, reverse=True)]

    # ---- while it runs ----

    def bind(self, values: dict[str, Any], folder: Path, now_ns: int) -> None:
        """The run begins: what the heads of its images have in common."""
        before = self.begun.learnt.head if self.begun.learnt is not None else {}
        self._known = {key: dict(entry) for key, entry in before.get("known_ns", {}).items()}
        holes = [*before.get("holes", ()), [before["until_ns"], now_ns]] if before else []
        self._head = {"since_ns": before.get("since_ns", now_ns), "holes": holes, "policies": policies_of(values), "run": str(folder.resolve())}
        self._due = time.monotonic()  # the first one at once: it says where the recording is

    def turn(self, pipeline: Pipeline, recorder: Recorder | None, now_ns: int) -> None:
        """Now and then: take an image, and leave it behind what the recording has until then. Everything received has been given to the recorder."""
        at = time.monotonic()
        if not self._all and at >= self._look_due:
            self._all = known_of(pipeline.engine, self._known, pipeline.engine.now)
            self._look_due = at + KNOWN_S
        if at < self._due or self._writing is not None and not self._writing.done():
            return
        try:
            learnt = self.take(pipeline, self._mark + 1 if recorder is not None else 0)
        except RuntimeError as why:
            if of_user(why) is not None:  # of a detector or policy of the user's
                raise
            return  # requests wait to be taken: at the next turn
        if recorder is not None:
            self._mark += 1
            recorder.mark(now_ns, IMAGE, {"n": self._mark})
        self._due = at + max(self.config.every_s, COST * (time.monotonic() - at))
        self._writing = self._pool.submit(self._write, learnt, recorder)

    def take(self, pipeline: Pipeline, mark: int, ended: bool = False) -> Learnt:
        """An image of now."""
        engine = pipeline.engine
        known_of(engine, self._known, engine.now)
        return take(engine, venues_of(pipeline), {**self._head, "until_ns": engine.now, "known_ns": self._known, "mark": mark, "ended": ended})

    def _write(self, learnt: Learnt, recorder: Recorder | None) -> None:
        """In a thread of its own. The recording first: the image names a place in it."""
        if recorder is not None:
            recorder.flush()
        try:
            save(self.path, learnt.encode())
        except OSError as why:
            if not self.trouble:
                _log.error("%s: cannot be written: %s", self.path, why.strerror or why)
            self.trouble = f"{self.path}: {why.strerror or why}"
        else:
            self.images, self.trouble = self.images + 1, ""

    def end(self, pipeline: Pipeline | None) -> None:
        """The run is over, everything is recorded. pipeline: None where it failed, and what it has learnt last is not to be trusted."""
        if pipeline is not None and self._head:
            try:
                learnt = self.take(pipeline, self._mark, ended=True)
                self._contracts = learnt.progress()
                self._pool.submit(self._write, learnt, None)
            except RuntimeError as why:
                self.trouble = f"the latest learnt state is not saved: {why}"
                _log.error("%s", self.trouble)
        self._pool.shutdown()

    def as_dict(self) -> dict[str, Any]:
        """For run.json, when the run is over."""
        return self.begun.as_dict() | {"ended": self._contracts, "images": self.images, "trouble": self.trouble}


class Warmth:
    """How warm an engine is, for a status line. Looks at it seldom, and not any more when all is known."""

    def __init__(self, pipeline: Pipeline):
        self._pipeline = pipeline
        self._due = 0.0
        self._text = ""
        self._known: dict[str, dict[str, int]] = {}
        self._all = 0

    def line(self) -> str:
        """warm 2/3: DOGEUSDT 57/100; "" where no detector counts."""
        at = time.monotonic()
        if at >= self._due:
            engine = self._pipeline.engine
            known_of(engine, self._known, engine.now)
            known = sum(len(entry) for entry in self._known.values())
            if not self._all or known < self._all:
                with contextlib.suppress(RuntimeError):
                    self._text = self._look()
            elif self._all:
                self._text = f"warm {self._all}/{self._all}"
            self._due = at + max(LOOK_S, COST / 5 * (time.monotonic() - at))
        return self._text

    def _look(self) -> str:
        rows = take(self._pipeline.engine, {}, {}).progress()
        self._all = len(rows)
        cold = [row for row in rows if row["seen"] < row["wanted"]]
        several = len({row["detector"] for row in rows}) > 1
        names = [f"{row['contract'].rpartition(':')[2]}{' ' + row['detector'] if several else ''} {row['seen']}/{row['wanted']}" for row in cold]
        more = f" and {len(names) - NAMES_MAX} more" if len(names) > NAMES_MAX else ""
        return f"warm {len(rows) - len(cold)}/{len(rows)}{': ' + ', '.join(names[:NAMES_MAX]) + more if names else ''}" if rows else ""
