"""The whole loop of a bot that trades itself: events in, requests out, the exchange's answers back in.

    python examples/closed_loop.py

    engine.on_trade, on_bbo, on_liquidation     what the market says
    engine.drain()                              what the engine asks for: send it
    engine.on_order                             what your exchange says about an order
    engine.on_fill                              what was executed

`Exchange` stands for the API of yours: it keeps resting orders and stops, and answers. Everything below it is what a bot does, whatever the exchange.
"""

import liqcore as lc
from liqcore.event import Action, OrderType

S = lc.SECOND


class Exchange:
    """One contract: post-only and reduce-only limit orders, market orders, and stops that are attached to an entry."""

    def __init__(self):
        self.resting = {}  # order id -> [request, quantity left]
        self.stops = {}  # order id of a stop -> [side of the position, trigger, quantity]
        self.bid = self.ask = 0.0

    def send(self, request):
        """Answers to one request: ('order', id, status, quantity that rests) and ('fill', id, price, quantity, maker)."""
        status = lc.OrderStatus
        if request.action == Action.ACTION_CANCEL:
            gone = self.resting.pop(request.id, None) or self.stops.pop(request.id, None)
            return [("order", request.id, status.ORDER_CANCELLED if gone else status.ORDER_REFUSED, 0.0)]
        if request.action == Action.ACTION_AMEND:
            if request.id in self.stops:
                self.stops[request.id][1:] = [request.stop or request.price, request.qty]
            else:
                self.resting[request.id] = [request, request.qty]
            return [("order", request.id, status.ORDER_NEW, request.qty)]
        if request.type == OrderType.ORDER_STOP_MARKET:
            self.stops[request.id] = [-request.side, request.stop or request.price, request.qty]
            return [("order", request.id, status.ORDER_NEW, request.qty)]
        if request.price is None:
            price = self.ask if request.side > 0 else self.bid
            return [("order", request.id, status.ORDER_NEW, request.qty), ("fill", request.id, price, request.qty, False)]
        self.resting[request.id] = [request, request.qty]
        return [("order", request.id, status.ORDER_NEW, request.qty)]

    def on_quote(self, bid, ask):
        """What a new best bid and ask does to orders that rest."""
        self.bid, self.ask = bid, ask
        out = []
        for number, (request, qty) in list(self.resting.items()):
            if (ask <= request.price) if request.side > 0 else (bid >= request.price):
                del self.resting[number]
                out.append(("fill", number, request.price, qty, True))
                if request.stop is not None:  # the stop of an entry is there from its fill on
                    self.stops[request.stop_id] = [request.side, request.stop, qty]
                    out.append(("order", request.stop_id, lc.OrderStatus.ORDER_NEW, qty))
        for number, (side, trigger, qty) in list(self.stops.items()):
            if (bid <= trigger) if side > 0 else (ask >= trigger):
                del self.stops[number]
                out += [("order", number, lc.OrderStatus.ORDER_TRIGGERED, qty), ("fill", number, bid if side > 0 else ask, qty, False)]
        return out


class Fade(lc.Policy):
    """Buy below a flush of longs, sell above a flush of shorts."""

    def on_signal(self, signal, market):
        if signal.phase == lc.Phase.ACTIVE:
            return lc.Bracket(signal.side, entry_offset=0.0015, take_profit=0.0015, stop_loss=0.0025, notional=2000.0)
        return None


class Bot:
    """Strict: a time in milliseconds, an unknown contract or a crossed quote raises where it is handed in."""

    def __init__(self, exchange):
        instrument = lc.Instrument("ETHUSDT", tick_size="0.01", lot_size="0.01", min_qty="0.01", min_notional=5)
        self.engine = lc.Engine([instrument], lc.CascadeConfig(warmup=100), Fade(), lc.Risk(daily_loss_max=0.01), strict=True)
        self.exchange = exchange
        self.executions = 0
        self.log = []

    def on_quote(self, now, bid, ask):
        self.engine.on_bbo(now, now, "ETHUSDT", bid, 10.0, ask, 10.0)
        self.engine.on_trade(now, now, "ETHUSDT", lc.LONG, ask, 1.0)
        self.tell(now, self.exchange.on_quote(bid, ask))
        self.trade(now)

    def on_forced_close(self, now, side, price, qty):
        self.engine.on_liquidation(now, now, "ETHUSDT", side, price, qty)
        self.trade(now)

    def trade(self, now):
        """Send what the engine asks for, hand back the answers, until it asks for nothing more."""
        while requests := self.engine.drain():
            for request in requests:
                self.log.append(
                    f"send {request.action.name[7:].lower()} {request.role.name[5:].lower()} {request.side.name} {request.qty_text} "
                    f"at {request.price_text or 'market'}" + (f", stop {request.stop_text}" if request.stop_text else "")
                )
                self.tell(now, self.exchange.send(request))

    def tell(self, now, answers):
        for what, order, *about in answers:
            if what == "order":
                status, qty = about
                self.engine.on_order(now, now, order, status, qty=qty)
            else:
                price, qty, maker = about
                self.executions += 1
                self.log.append(f"fill {qty:g} at {price:.2f}")
                self.engine.on_fill(now, now, order, price, qty, price * qty * (0.0002 if maker else 0.00055), self.executions, maker)


def main():
    """A market by hand: 120 ordinary liquidations, a flush of longs, and a price that comes back. Prints what the bot did; its net result."""
    bot, now = Bot(Exchange()), 1_700_000_000 * S
    for n in range(120):
        bot.on_quote(now + n * 120 * S, 2500.0, 2500.1)
        bot.on_forced_close(now + n * 120 * S, lc.LONG, 2500.0, 0.1 + n % 7 / 100)
    now += 120 * 120 * S
    bot.on_quote(now, 2490.0, 2490.1)
    bot.on_forced_close(now, lc.LONG, 2490.0, 80.0)
    bot.on_forced_close(now + S, lc.LONG, 2489.0, 120.0)  # two large ones within a minute: a cascade; the bot rests an entry
    for n, bid in enumerate((2488.0, 2486.2, 2485.0, 2488.0, 2491.0, 2492.0), 2):  # through the entry, then through the target
        bot.on_quote(now + n * S, bid, bid + 0.1)
    print("\n".join(bot.log))
    account = bot.engine.account
    print(f"net {account.equity - 10_000.0:+.2f}; held {bot.engine.bracket('ETHUSDT')['held']:g}")
    return account.equity - 10_000.0


if __name__ == "__main__":
    main()
