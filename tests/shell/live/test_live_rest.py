"""REST over real sockets: what protects does not queue behind what only asks."""

import asyncio
import contextlib
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from aiohttp import web

from liqshell.live.blocking_rest import RestClient
from liqshell.live.rest import Rest
from liqshell.rest import BODY_BYTES_MAX, paged, walk, walk_async
from liqshell.venues.bybit.rest_requests import Request
from liqshell.venues.bybit.rest_responses import Parsed
from liqshell.venues.bybit.signing import Keys
from liqshell.venues.effects import Call


def test_a_stop_is_sent_while_many_questions_are_unanswered():
    """Eight slow answers used to take the whole pool: the ninth request waited there, already stamped and signed."""

    async def main():
        hold, got = asyncio.Event(), []

        async def question(request):
            await hold.wait()
            return web.json_response({})

        async def stop(request):
            got.append(time.time_ns() // 1_000_000 - int(request.headers["X-BAPI-TIMESTAMP"]))
            return web.json_response({"retCode": 0})

        app = web.Application()
        app.add_routes([web.get("/v5/position/list", question), web.post("/v5/position/trading-stop", stop)])
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]
        rest = Rest(f"http://127.0.0.1:{port}", Keys("restkey00", "restsecret0"), 5000, None, time.time_ns)
        questions = [asyncio.create_task(rest.call(Call(n, "GET", "/v5/position/list", timeout_s=8.0))) for n in range(40)]
        await asyncio.sleep(0.3)
        answer = await asyncio.wait_for(rest.call(Call(99, "POST", "/v5/position/trading-stop", body="{}", timeout_s=6.0)), 5.0)
        held = [task.done() for task in questions]
        hold.set()
        await asyncio.gather(*questions)
        await rest.close()
        await runner.cleanup()
        return answer, held, got

    answer, held, got = asyncio.run(main())
    assert answer.status == 200 and not any(held) and len(got) == 1


def test_a_question_whose_answer_is_lost_is_sent_again_and_what_changes_something_never_is():
    async def main():
        came, lost = [], asyncio.Event()

        async def answer(request):
            came.append(request.path)
            if "lost" in request.path and came.count(request.path) == 1:
                await lost.wait()
            return web.json_response({"retCode": 0}, status=503 if "fails" in request.path else 200)

        app = web.Application()
        app.add_routes([web.route("*", "/{path}", answer)])
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        rest = Rest(f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}", Keys("restkey00", "restsecret0"), 5000, None, time.time_ns)
        found = {}
        for method, path in (("GET", "/lost0"), ("GET", "/known"), ("GET", "/lost1"), ("GET", "/fails"), ("POST", "/lost2")):
            began = time.monotonic()
            found[path] = (await rest.call(Call(1, method, path, timeout_s=1.5))).status, time.monotonic() - began
        lost.set()
        await rest.close()
        await runner.cleanup()
        return found, came

    found, came = asyncio.run(main())
    assert found["/lost0"][0] == 0 and came.count("/lost0") == 1  # nobody knows yet whether the venue answers at all
    assert found["/lost1"][0] == 200 and found["/lost1"][1] < 1.5 and came.count("/lost1") == 2
    assert found["/fails"][0] == 503 and came.count("/fails") == 1  # a refusal is an answer
    assert found["/lost2"][0] == 0 and came.count("/lost2") == 1


def test_both_ways_call_the_same_failures_by_the_same_words():
    """The event loop's and the thread's: an answer that is too long and one that does not come are no answers, and say why alike."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self):
            if "slow" in self.path:
                time.sleep(1.0)
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(b" " * (BODY_BYTES_MAX + 1))

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base, keys = f"http://127.0.0.1:{server.server_port}", Keys("restkey00", "restsecret0")

    async def on_loop(path):
        rest = Rest(base, keys, 5000, None, time.time_ns)
        try:
            return await rest.call(Call(1, "GET", path, timeout_s=0.5))
        finally:
            await rest.close()

    def in_thread(path):
        client = RestClient(base, keys, timeout_s=0.5, attempts=1)
        try:
            return client.ask(Request("GET", path))
        finally:
            client.close()

    try:
        for path, why in (("/long", "an answer of more than 1048576 bytes"), ("/slow", "no answer within 0.5 s")):
            one, other = asyncio.run(on_loop(path)), in_thread(path)
            assert (one.status, other.status) == (0, 0) and one.why == why and other.text.endswith(why)
    finally:
        server.shutdown()
        server.server_close()


def test_pages_are_all_or_none():
    lists = {"": Parsed(True, (1, 2), 0, cursor="a"), "a": Parsed(True, (3,), 0, cursor="b"), "b": Parsed(True, (), 0, cursor="c")}
    asked = []

    def ask(request):
        asked.append(request.query)
        return lists[request.query]

    assert walk(paged(lambda cursor: Request("GET", "/x", cursor)), ask) == Parsed(True, (1, 2, 3), 0) and asked == ["", "a", "b"]
    lists["a"] = Parsed(False, reason="not JSON")
    assert walk(paged(lambda cursor: Request("GET", "/x", cursor)), ask) == Parsed(False, reason="not JSON")
    lists["a"] = Parsed(True, (4,), 0, cursor="a")
    found = walk(paged(lambda cursor: Request("GET", "/x", cursor)), ask)
    assert found.value is None and "more than" in found.reason

    async def ask_async(request):
        return ask(request)

    assert asyncio.run(walk_async(paged(lambda cursor: Request("GET", "/x", cursor)), ask_async)) == found
