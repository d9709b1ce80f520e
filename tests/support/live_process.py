"""The live process as a user starts it, against a venue in a process of its own: for tests that kill, stop, block and watch it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from liqshell.state.control import Control

COMMAND = [sys.executable, "-P", "-m", "liqshell"]
READY_S = 180.0


def environment(**more):
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONUNBUFFERED": "1", **more}


class Venue:
    """`liqcore emulate` as a child process. log: a file for what it says."""

    def __init__(self, *arguments, log=os.devnull):
        with open(log, "ab") as sink:
            self.process = subprocess.Popen(
                [*COMMAND, "emulate", "--parent", str(os.getpid()), *map(str, arguments)], stdout=subprocess.PIPE, stderr=sink, env=environment()
            )
        self.ready = json.loads(self.process.stdout.readline())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(60)
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def get(self, path):
        with urllib.request.urlopen(self.ready["rest"] + path, timeout=60) as answer:
            return json.loads(answer.read())

    def truth(self):
        """What is really so of the (only) account, see Exchange.truth()."""
        (found,) = self.get("/emulator/account").values()
        return found

    def keys(self):
        return {"LIQCORE_API_KEY": self.ready["api_key"], "LIQCORE_API_SECRET": self.ready["api_secret"]}


def write_config(folder, venue, symbols=None, *, more="", policy="entry_offset = 0.0003\n", watchdog=False, rest=None, ws=None):
    """A configuration that trades often. Returns its path; runs and state lie under the folder."""
    symbols = symbols or venue.ready["symbols"][:3]
    path = Path(folder) / "live.toml"
    path.write_text(
        f'[run]\nname = "proof"\nmode = "live"\nout = {json.dumps(str(Path(folder) / "runs"))}\n'
        f"[feed]\nrest = {json.dumps(rest or venue.ready['rest'])}\nws = {json.dumps(ws or venue.ready['ws'])}\nsymbols = {json.dumps(symbols)}\n"
        f"[detector]\nrefresh_s = 0\nwarmup = 20\nquantile = 0.7\n[policy]\ncooldown_s = 20\n{policy}"
        f"[live]\nwatchdog = {str(watchdog).lower()}\n{more}"
        "[limits]\ndata_age_max_s = 60\nevent_age_max_s = 60\ndaily_loss_max = 0.9\nweekly_loss_max = 0.9\n"
    )
    return path


class Live:
    """`liqcore live CONFIG --live` as a child process."""

    def __init__(self, config, keys, *arguments, out=None, log=None):
        self.folder = Path(out) if out else None
        self.state = config.parent / "runs" / "state" / "proof"
        command = [*COMMAND, "live", str(config), "--live", *(("--out", str(out)) if out else ()), *map(str, arguments)]
        self.log = log or config.parent / "live.log"
        with open(self.log, "ab") as sink:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, env=environment(**keys))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.kill()

    def wait_reconciled(self, timeout_s=READY_S):
        """Seconds until it had reconciled; AssertionError with its log where it did not."""
        begun = time.monotonic()
        while time.monotonic() - begun < timeout_s:
            if self.process.poll() is not None:
                raise AssertionError(f"the live process ended with {self.process.returncode}:\n{self.words()}")
            with contextlib.suppress(Exception):
                control = Control(self.state)
                try:
                    if control.life == 2 and control.pid == self.process.pid:
                        return time.monotonic() - begun
                finally:
                    control.close()
            time.sleep(0.01)
        raise AssertionError(f"not reconciled within {timeout_s} s:\n{self.words()}")

    def words(self):
        return self.log.read_text(errors="replace")[-4000:]

    def kill(self):
        """As the power cut does it."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def end(self, timeout_s=180.0):
        """In good order; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_s)

    def rss_kib(self):
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1])
        return 0
