"""aiohttp's websocket client."""

import aiohttp as ah

PACKAGE = "aiohttp"


async def client(port, count):
    async with ah.ClientSession() as session, session.ws_connect(f"http://127.0.0.1:{port}/", compress=0, max_msg_size=0) as ws:
        for _ in range(count):
            await ws.receive()
        await ws.send_str("done")
        await ws.receive()
