"""Rehearsing a bot: pybit against `liqcore emulate`, with a fault in the script. What does the bot do when an order's answer is lost?

    python examples/rehearse_pybit.py

The venue books the order, the answer never comes. Sending the order again would be the classic way to hold it twice; the bot below asks for it by its
orderLinkId instead, and only believes "there is none" when the venue has said so twice with a pause between.
"""

import json
import subprocess
import sys
import time

import requests
from pybit.exceptions import InvalidRequestError
from pybit.unified_trading import HTTP

FAULTS = (
    '{"kind": "lose_ack", "operation": "create", "channel": "rest", "count": 1, "duration_s": 1e8}',
    '{"kind": "error", "code": 10016, "booked": 0, "operation": "create", "on_order": 2, "count": 1, "duration_s": 1e8}',
)


class Bot:
    """Orders that are never sent twice."""

    def __init__(self, line: dict) -> None:
        # pybit would send an order again by itself after some errors; max_retries and retry_codes switch that off
        self.http = HTTP(api_key=line["api_key"], api_secret=line["api_secret"], timeout=1, max_retries=1, retry_codes={-1})
        self.http.endpoint = line["rest"]
        self.story: list[str] = []

    def buy(self, link_id: str, qty: str, stop: str) -> bool:
        """Whether the order is at the venue, in the end."""
        try:
            self.http.place_order(category="linear", symbol="BTCUSDT", side="Buy", orderType="Market", qty=qty, stopLoss=stop, orderLinkId=link_id)
            self.story.append(f"{link_id}: acknowledged")
            return True
        except (requests.exceptions.RequestException, InvalidRequestError) as error:
            code = getattr(error, "status_code", None)
            if isinstance(code, int) and code not in (10000, 10016, 10019):
                self.story.append(f"{link_id}: refused")
                return False
        self.story.append(f"{link_id}: nobody knows")
        for _ in range(2):
            if self.find(link_id):
                self.story.append(f"{link_id}: it is there")
                return True
            time.sleep(0.3)
        self.story.append(f"{link_id}: it is not there")
        return False

    def find(self, link_id: str) -> bool:
        """Whether the venue knows the order, open or ended."""
        asked = {"category": "linear", "symbol": "BTCUSDT", "orderLinkId": link_id}
        return bool(self.http.get_open_orders(**asked)["result"]["list"] or self.http.get_order_history(**asked)["result"]["list"])

    def held(self) -> float:
        """What is held now."""
        return float(self.http.get_positions(category="linear", symbol="BTCUSDT")["result"]["list"][0]["size"] or 0)

    def last(self) -> float:
        """The last price."""
        return float(self.http.get_tickers(category="linear", symbol="BTCUSDT")["result"]["list"][0]["lastPrice"])


def main() -> dict:
    """Start the venue, run the bot, say what happened."""
    command = [sys.executable, "-m", "liqshell", "emulate", "--symbols", "BTCUSDT", "--speed", "10", "--faults", *FAULTS]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as venue:
        try:
            assert venue.stdout is not None
            bot = Bot(json.loads(venue.stdout.readline()))
            time.sleep(1.0)  # until the market has quotes
            stop = f"{bot.last() * 0.9:.1f}"
            there = [bot.buy(link_id, "0.01", stop) for link_id in ("first", "second", "third")]
            return {"there": there, "held": bot.held(), "story": bot.story}
        finally:
            venue.terminate()


if __name__ == "__main__":
    print(json.dumps(main(), indent=2))
