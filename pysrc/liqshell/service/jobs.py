"""Questions that are too large for one answer: processed one after another, with results kept until the server ends."""

from __future__ import annotations

import logging
import secrets
import shutil
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from liqshell import private
from liqshell.errors import LiqshellError
from liqshell.service import answers
from liqshell.service.problems import Problem, without_paths
from liqshell.service.questions import JOB_ROWS_MAX, Question, history_of
from liqshell.service.series import series_of
from liqshell.service.sources import Dataset, Library

JOBS_MAX = 100  # that wait or whose results are kept; the oldest results go first
WAITING_MAX = 8
_log = logging.getLogger("liqshell.service")


@dataclass
class Job:
    """owner: id of the key that asked. state: waiting, running, done or failed."""

    owner: str
    rows: int
    kind: str
    path: Path
    state: str = "waiting"
    done: int = 0
    why: str = ""


class Jobs:
    """One worker; a job's rows are read in order of time, with other requests in between."""

    def __init__(self, library: Library):
        self._library = library
        self._folder = Path(tempfile.mkdtemp(prefix="jobs-", dir=library.scratch.folder))
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()
        self._worker = ThreadPoolExecutor(1, "liqcore-job")

    def begin(self, dataset: Dataset, body: Any, kind: str, owner: str) -> str:
        """Problem where the question is wrong, or too many wait."""
        question = history_of(dataset, body, JOB_ROWS_MAX)
        series_of(dataset, question.names, self._library.saved)  # before anything is answered
        ident = secrets.token_hex(8)
        job = Job(owner, len(question.rows), kind, self._folder / ident)
        with self._lock:
            if sum(one.state in ("waiting", "running") for one in self._jobs.values()) >= WAITING_MAX:
                raise Problem(
                    "quota-exceeded", f"{WAITING_MAX} jobs are already waiting", ((b"retry-after", b"60"),), **{"violated-policies": ["jobs"]}
                )
            for old in [name for name, one in self._jobs.items() if one.state in ("done", "failed")][: max(0, len(self._jobs) + 1 - JOBS_MAX)]:
                self._jobs.pop(old).path.unlink(missing_ok=True)
            self._jobs[ident] = job
        self._worker.submit(self._work, job, dataset, question)
        return ident

    def _work(self, job: Job, dataset: Dataset, question: Question) -> None:
        job.state = "running"
        try:
            with private.opened(job.path, "wb") as out:
                answers.write(dataset, question, self._library.saved, job.kind, out, lambda done: setattr(job, "done", done))
            job.done, job.state = job.rows, "done"
        except (LiqshellError, Problem, OSError) as why:
            job.why, job.state = without_paths(why), "failed"
        except Exception:  # who asks for the job must not wait for ever
            _log.exception("job for %s", job.owner)
            job.why, job.state = "an error of the server; its log has it", "failed"
        if job.state == "failed":
            job.path.unlink(missing_ok=True)

    def _of(self, ident: str, owner: str) -> Job:
        job = self._jobs.get(ident)
        if job is None or job.owner != owner:
            raise Problem("not-found", "no such job")
        return job

    def state(self, ident: str, owner: str) -> dict[str, Any]:
        """The state of a job, as JSON values. Problem where there is none of this key."""
        job = self._of(ident, owner)
        return {
            "id": ident,
            "state": job.state,
            "rows": job.rows,
            "rows_done": job.done,
            "type": job.kind,
            **({"why": job.why} if job.why else {}),
            **({"result": f"/v1/jobs/{ident}?result=1"} if job.state == "done" else {}),
        }

    def result(self, ident: str, owner: str) -> tuple[Path, str]:
        """(the file that holds it, its kind). Problem where it is not done."""
        job = self._of(ident, owner)
        if job.state != "done":
            again = ((b"retry-after", b"1"),) if job.state != "failed" else ()
            raise Problem("not-done", job.why or f"the job is {job.state}: {job.done:,} of {job.rows:,} rows", again)
        return job.path, job.kind

    def close(self) -> None:
        self._worker.shutdown(wait=False, cancel_futures=True)
        shutil.rmtree(self._folder, ignore_errors=True)
