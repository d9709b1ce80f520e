"""`liqcore emulate`."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number

from liqcore.fees import MAKER_FEE, TAKER_FEE
from liqshell import input_file
from liqshell.clock import NS
from liqshell.errors import ConfigError
from liqshell.name_lists import Names


@Parameter(name="*")
@dataclass(frozen=True)
class VenueOptions:
    """The venue around the market.

    Parameters
    ----------
    faults
        Faults: JSON objects, or files with a JSON list or JSON lines, such as {"kind": "lose_ack", "operation": "create"}.
    equity
        Money of each test account, USDT.
    accounts
        How many test accounts.
    maker_fee
        Share of the notional; negative = a rebate.
    taker_fee
        Share of the notional.
    leverage
        Of the accounts until they set another.
    latency_ms
        Network latency of one direction, on every connection, in wall time.
    loss
        Share of messages whose packet is lost: they and the messages behind them are late.
    ack_ms
        Shortest and longest time from a request to its answer.
    limit_factor
        Factor on the venue's rate limits.
    orderbook_500
        Accept the topic orderbook.500, which the venue has removed and some clients still subscribe.
    tls
        Listen on a TLS port, too, with a certificate for localhost; the ready line then has its addresses and the file of its authority.
    tls_port
        0 = any free one.
    venues
        Protocols to speak, such as bybit,binance,okx: each at an address of its own, all from the same market. Bybit always is;
        of the others the public side.
    state
        File that keeps accounts and orders: a restart continues with them, at the time at which the market stopped.
    judge
        Emulate models with the answers of OpenAI's and Anthropic's servers; the ready line then has their address (docs/judge.md).
    news
        Emulate a news search, announcements and an RSS feed; the ready line then has their addresses.
    outside_faults
        What goes wrong with judge and news: JSON objects, or files of them, such as {"kind": "hang", "at": 3}.
    binary
        The venue of the hourly binary (docs/hourly.md), where the line says: lists, books, orders, spot candles.
    binary_faults
        What goes wrong with it: JSON objects, or files of them, such as {"kind": "fail_trade", "at": 1}.
    binary_lag_s
        Market seconds by which its makers' prices lag behind the spot price.
    okx_one_per_second
        OKX shows at most one liquidation per contract and second, as older copies of its documentation say.
    """

    faults: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative=())] = ()
    equity: Annotated[float, Parameter(validator=Number(gt=0, lt=1e12))] = 10_000.0
    accounts: Annotated[int, Parameter(validator=Number(gte=1, lte=100))] = 1
    maker_fee: Annotated[float, Parameter(validator=Number(gt=-0.01, lt=0.1))] = MAKER_FEE
    taker_fee: Annotated[float, Parameter(validator=Number(gt=-0.01, lt=0.1))] = TAKER_FEE
    leverage: Annotated[float, Parameter(validator=Number(gte=1, lte=100))] = 10.0
    latency_ms: Annotated[float, Parameter(validator=Number(gte=0, lte=60_000))] = 0.0
    loss: Annotated[float, Parameter(validator=Number(gte=0, lt=0.9))] = 0.0
    ack_ms: Annotated[tuple[float, float], Parameter(negative=())] = (1.0, 3.0)
    limit_factor: Annotated[float, Parameter(validator=Number(gt=0, lte=1e6))] = 1.0
    orderbook_500: Annotated[bool, Parameter(negative=())] = False
    tls: Annotated[bool, Parameter(negative=())] = False
    tls_port: Annotated[int, Parameter(validator=Number(gte=0, lte=65_535))] = 0
    venues: Names = ("bybit",)
    state: Path | None = None
    judge: Annotated[bool, Parameter(negative=())] = False
    news: Annotated[bool, Parameter(negative=())] = False
    outside_faults: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative=())] = ()
    binary: Annotated[bool, Parameter(negative=())] = False
    binary_faults: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative=())] = ()
    binary_lag_s: Annotated[float, Parameter(validator=Number(gte=0, lte=3600))] = 20.0
    okx_one_per_second: Annotated[bool, Parameter(negative=())] = False

    def fields(self) -> dict[str, Any]:
        """Fields of emulator.options.Config; ConfigError."""
        from liqshell.emulator.api.faults import Fault
        from liqshell.emulator.binary.faults import BinaryFault
        from liqshell.emulator.server.outside import OutsideFault

        low, high = self.ack_ms
        if not 0.0 <= low <= high <= 60_000.0:
            raise ConfigError("--ack-ms", f"got {low:g} {high:g}", "the shortest and the longest delay in milliseconds, 0 to 60000")
        out = dict(vars(self))
        for option, kind in (("faults", Fault), ("outside_faults", OutsideFault), ("binary_faults", BinaryFault)):
            out[option] = _specs(f"--{option.replace('_', '-')}", out[option], kind.of)
        out["venue"] = {name: out.pop(name) for name in ("maker_fee", "taker_fee", "leverage")}
        out["latency_s"], out["ack_delay_s"] = out.pop("latency_ms") / 1e3, tuple(ms / 1e3 for ms in out.pop("ack_ms"))
        return out | {"state": str(self.state or "")}


@Parameter(name="*")
@dataclass(frozen=True)
class MarketOptions:
    """The market, where it is generated.

    Parameters
    ----------
    scale
        How many times the real market's size the generated one has: liquidations, trades and quotes grow, prices move as they would at 1.
    funding
        Funding rate of the generated market, a share per eight hours; below 0 the shorts pay.
    long_share
        Share of the generated market's positions that are long: what is liquidated when the price falls.
    """

    scale: Annotated[float, Parameter(validator=Number(gt=0, lte=1000))] = 1.0
    funding: Annotated[float, Parameter(validator=Number(gte=-0.005, lte=0.005))] = 0.0001
    long_share: Annotated[float, Parameter(validator=Number(gt=0, lt=1))] = 0.55


DEFAULT, DEFAULT_MARKET = VenueOptions(), MarketOptions()


def emulate(
    *,
    seed: Annotated[int, Parameter(validator=Number(gte=0))] = 0,
    speed: Annotated[float, Parameter(validator=Number(gt=0, lt=1e6))] = 1.0,
    from_: Annotated[tuple[Path, ...], Parameter(name=("--from", "--data"), consume_multiple=True, negative=())] = (),
    symbols: Names = (),
    hours: Annotated[float | None, Parameter(validator=Number(gt=0))] = None,
    market: MarketOptions = DEFAULT_MARKET,
    venue: VenueOptions = DEFAULT,
    host: str = "127.0.0.1",
    port: Annotated[int, Parameter(validator=Number(gte=0, lte=65_535))] = 0,
    wait: Annotated[bool, Parameter(negative=())] = False,
    lead_s: Annotated[float, Parameter(validator=Number(gte=0, lte=3600))] = 0.0,
    at: str = "",
    parent: Annotated[int | None, Parameter(show=False)] = None,
) -> int:
    """Start a venue on loopback with the protocol of Bybit V5: public and private websockets, websocket order entry, REST, with a funded test
    account. With --venues also the public side of Binance USD-M and OKX, from the same market.

    Prints one JSON line when it is ready, {"rest": "http://...", "ws": "ws://...", "api_key": ..., "api_secret": ..., ...}; the paths below are the
    real venue's. Runs until Ctrl-C, SIGTERM, or the end of the market. Without --from the market is SYNTHETIC. See docs/emulator.md.

    Parameters
    ----------
    seed
        Of the generated market, the keys and the faults: the same seed gives the same frames.
    speed
        Market seconds in a second. Time stamps of signatures are checked against the wall clock at every speed.
    from_
        Recordings to send instead of a generated market.
    symbols
        Contracts to offer; default: the emulator's own choice, or all of the recording.
    hours
        Stop after so much market time.
    host
        Loopback address to listen on.
    port
        0 = any free one.
    wait
        Market time starts with the first subscription.
    lead_s
        Seconds from the ready line to the first frame, for clients to connect.
    at
        When the market begins: now, for clients that compare its times with their own clock, or a time in UTC such as 2026-03-04T13:00.
    parent
        End when this parent process has ended.
    """
    from liqshell.emulator.server import SYMBOLS, Config, run

    input_file.existing(from_, "a recording", "--from")
    try:
        config = Config(
            seed=seed,
            speed=speed,
            **_begin(at),
            symbols=symbols or SYMBOLS,
            hours=hours,
            from_=tuple(map(str, from_)),
            host=host,
            port=port,
            wait_for_client=wait,
            lead_s=lead_s,
            parameters={"scale": market.scale, "funding_rate": market.funding, "long_share": market.long_share},
            **venue.fields(),
        )
        return run(config, parent=parent)
    except ValueError as why:
        raise ConfigError("emulate", str(why)) from why
    except OSError as why:
        raise ConfigError(f"emulate {host}:{port}", f"cannot listen: {why.strerror or why}", "a free port on a loopback address") from why


def _begin(at: str) -> dict[str, Any]:
    """Fields of Config that --at means: the market's own start, now, or a time."""
    if at in ("", "now"):
        return {"at_now": at == "now"}
    try:
        when = datetime.fromisoformat(at)
    except ValueError:
        raise ConfigError(f"--at {at}", "not a time", "now, or a time in UTC such as 2026-03-04T13:00") from None
    return {"start_ns": int(when.replace(tzinfo=when.tzinfo or UTC).timestamp()) * NS}


def _specs(option: str, texts: tuple[str, ...], judge: Callable[[dict[str, Any]], object]) -> tuple[dict[str, Any], ...]:
    """The values given to an option, in order."""
    return tuple(spec for text in texts for spec in _specs_of(option, text, judge))


def _specs_of(option: str, text: str, judge: Callable[[dict[str, Any]], object]) -> list[dict[str, Any]]:
    """A JSON object or list, or a file of JSON lines or one list; judge: raises ValueError for what is no fault."""
    name = option
    if not text.lstrip().startswith(("{", "[")):
        name, path = f"{option} {text}", Path(text)
        try:
            text = input_file.content(path).decode()
        except (OSError, UnicodeDecodeError) as why:
            raise ConfigError(name, getattr(why, "strerror", None) or str(why), "a JSON object, or a file of them") from why
    try:
        whole = json.loads(text)
    except json.JSONDecodeError:
        try:
            whole = [json.loads(line) for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
        except json.JSONDecodeError as why:
            raise ConfigError(name, f"not JSON: {why}", 'a list of objects such as {"kind": "lose_ack"}, or one of them a line') from why
    specs = whole if isinstance(whole, list) else [whole]
    for spec in specs:
        try:
            judge(spec)
        except ValueError as why:
            raise ConfigError(name, str(why)) from why
    return specs
