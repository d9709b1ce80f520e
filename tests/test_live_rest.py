"""REST over real sockets: what protects does not queue behind what only asks."""

import asyncio
import time

from aiohttp import web
from liqshell.gateway.effects import Call
from liqshell.live.rest import Rest
from liqshell.venues.bybit_signing import Keys


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
