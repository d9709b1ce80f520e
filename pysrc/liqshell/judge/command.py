"""The judge that is a program of the user's: the question as JSON on its stdin, the answer as JSON on its stdout. It ends at the deadline."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
from collections.abc import Mapping, Sequence
from typing import Any

from liqshell.judge.asking import Told
from liqshell.judge.prompt import user_text
from liqshell.judge.types import Question
from liqshell.judge.validation import TEXT_MAX
from liqshell.news.items import Item

SECRETS = ("KEY", "SECRET", "TOKEN", "PASS", "PWD", "CREDENTIAL", "AUTH", "DSN", "DATABASE_URL", "COOKIE")
PLAIN = ("PWD", "OLDPWD")  # folders of the shell
_USERINFO = re.compile(r"[a-z][a-z0-9+.-]*://[^\s/?#]*@", re.I)


def environment() -> dict[str, str]:
    """Of this process, without what is a secret by its name or its value."""
    return {
        name: value
        for name, value in os.environ.items()
        if (name in PLAIN or not any(word in name.upper() for word in SECRETS)) and not _USERINFO.search(value)
    }


class Program:
    """A way: one process a question, in a group of its own. Its environment has nothing whose name says secret, or whose value is an
    address with a password in it."""

    def __init__(self, words: Sequence[str]):
        self._words = tuple(words)
        self.identity: Mapping[str, Any] = {"kind": "command", "program": list(self._words)}

    def request(self, question: Question, items: Sequence[Item]) -> dict[str, Any]:
        return {"question": json.loads(user_text(question, items, "ˆ"))}

    def most(self, request: Mapping[str, Any]) -> Mapping[str, int]:
        return {}

    async def ask(self, request: Mapping[str, Any], until_s: float) -> Told:
        try:
            process = await asyncio.create_subprocess_exec(
                *self._words,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                start_new_session=True,
                env=environment(),
            )
        except OSError as why:
            return Told("connect", response=f"{self._words[0]}: {why.strerror or why}")
        try:
            async with asyncio.timeout_at(until_s):
                out = await self._talk(process, json.dumps(request["question"], ensure_ascii=False).encode())
                code = await process.wait() if out is not None else 0
        except TimeoutError:
            return Told("timeout")
        finally:
            await self._end(process)
        if out is None:
            return Told("too_long")
        return Told("ok" if code == 0 else f"exit_{code}", out.decode("utf-8", "replace").strip(), out.decode("utf-8", "replace"))

    @staticmethod
    async def _talk(process: asyncio.subprocess.Process, text: bytes) -> bytes | None:
        """The program's output until it closes stdout; None if that is too long."""
        assert process.stdin is not None and process.stdout is not None
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            process.stdin.write(text)
            await process.stdin.drain()
            process.stdin.close()
        out = b""
        while len(out) <= TEXT_MAX:
            more = await process.stdout.read(TEXT_MAX)
            if not more:
                return out
            out += more
        return None

    @staticmethod
    async def _end(process: asyncio.subprocess.Process) -> None:
        """It and what it has started; its pipes, too, which a process that left the group may hold."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process._transport.close()  # type: ignore[attr-defined]  # asyncio has no public way
        await process.wait()
        await asyncio.sleep(0)

    async def close(self) -> None:
        pass
