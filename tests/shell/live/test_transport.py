"""Something signed leaves over verified TLS or to this machine: nothing of a key reaches who listens elsewhere, whoever signs."""

import asyncio
import json
import socket
import ssl
import time
from importlib.util import find_spec

import pytest

from liqshell import demo
from liqshell.commands import live as commands_live
from liqshell.commands.kill import kill
from liqshell.config.load import loads
from liqshell.config.sections import FeedConfig
from liqshell.doctor import examine, gather
from liqshell.emulator.server import Config, serve
from liqshell.errors import ConfigError, VenueError
from liqshell.live import Session, watchdog
from liqshell.live.account import LiveAccount
from liqshell.live.blocking_rest import RestClient
from liqshell.live.ccxt_client import EXCHANGES, Exchange, make_exchange
from liqshell.live.channel import Link
from liqshell.live.instruments import fetch_list, fetch_turnover
from liqshell.live.rest import Rest
from liqshell.live.venue_clock import venue_clock
from liqshell.state.control import Control, Kill
from liqshell.state.sheet import Sheet
from liqshell.transport import Endpoint, is_loopback, tls_context
from liqshell.venues.bybit import rest_requests as bybit_rest
from liqshell.venues.bybit.port import BybitPort
from liqshell.venues.bybit.signing import Keys, private_auth_frame, rest_headers
from liqshell.venues.effects import Call, Channel
from relay import Relay, interface

trustme = pytest.importorskip("trustme", reason="trustme is not installed: pip install 'liqcore[test]'")
KEY, SECRET, PHRASE = "canaryKey0123456", "canarySecret0123456789abcdef0123", "canaryPhrase"
HOSTS = {
    "relay.example": ("relay",),
    "localhost": ("relay",),
    "both.example": ("127.0.0.1", "relay"),
    "rebound.example": ("127.0.0.1", "then relay"),
    "mapped.example": ("::ffff:127.0.0.1",),
}


@pytest.fixture
def hosts(monkeypatch):
    """As if /etc/hosts or a name server said so: names of HOSTS resolve as there, to `relay` where that word stands. "then": from the second time."""
    place, asked, real = {"relay": "198.51.100.1"}, {}, socket.getaddrinfo

    def resolve(host, port, *rest, **named):
        if host not in HOSTS or host == "localhost" and not place.get("localhost"):
            return real(host, port, *rest, **named)
        found = [place.get(one, one) for one in HOSTS[host] if not one.startswith("then ")]
        if asked.get(host) and HOSTS[host][-1].startswith("then "):
            found = [place["relay"]]
        asked[host] = asked.get(host, 0) + 1
        return [row for one in found for row in real(one, port, *rest, **named)]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setenv("LIQCORE_API_KEY", KEY)
    monkeypatch.setenv("LIQCORE_API_SECRET", SECRET)
    monkeypatch.setenv("LIQCORE_API_PASSPHRASE", PHRASE)
    return place


@pytest.fixture
def relay(hosts):
    with Relay(interface()) as one:
        hosts["relay"] = one.host
        yield one


def text_of(rest, ws, out, more=""):
    return (
        f'[run]\nname = "test"\nmode = "live"\nout = {json.dumps(str(out))}\n[feed]\nrest = "{rest}"\nws = "{ws}"\nsymbols = ["ETHUSDT"]\n'
        f"[policy]\nnotional = 100\n{more}"
    )


# ---- who signs: each gets an address, does what it does there, and says what it was told ----


def by_rest(base, folder):
    async def main():
        rest = Rest(base, Keys(KEY, SECRET), 5000, tls_context("", base), time.time_ns)
        try:
            return (await rest.call(Call(1, "GET", "/v5/order/realtime", "category=linear", timeout_s=10.0))).why
        finally:
            await rest.close()

    return asyncio.run(main())


def by_blocking(base, folder):
    client = RestClient(base, Keys(KEY, SECRET), timeout_s=10.0, attempts=1)
    try:
        return client.ask(bybit_rest.open_orders()).text
    finally:
        client.close()


def by_websocket(base, folder):
    async def main():
        url = base.replace("http", "ws", 1) + "/v5/private"
        up = asyncio.Event()
        link = Link(Channel.PRIVATE, Endpoint(url, tls_context("", url)), lambda *_: None, lambda *_: up.set())
        link.connect()
        run = asyncio.create_task(link.run())
        try:
            await asyncio.wait_for(up.wait(), 2.0)
            link.send(BybitPort(Keys(KEY, SECRET), "run", (), {Channel.PRIVATE: link.endpoint}).auth(Channel.PRIVATE, 1))
            await asyncio.sleep(0.2)
        except TimeoutError:
            return "no connection"
        finally:
            run.cancel()
            await asyncio.gather(run, return_exceptions=True)
        return ""

    return asyncio.run(main())


def by_live(base, folder):
    """A whole run that may trade."""
    config = loads(text_of(base, base.replace("http", "ws", 1), folder, "[live]\nwatchdog = false\n"))
    asyncio.run(asyncio.wait_for(Session(config, folder / "run", account=LiveAccount(config, Keys(KEY, SECRET))).run(), 5.0))


def by_command(base, folder):
    """What `liqcore live --live` asks first."""
    commands_live._account(loads(text_of(base, base.replace("http", "ws", 1), folder)), False, False, True, [])


def by_kill(base, folder, capsys):
    (folder / "my.toml").write_text(text_of(base, base.replace("http", "ws", 1), folder))
    assert kill(folder / "my.toml") == 1
    assert Control(folder / "state" / "test").kill == Kill.KILLED  # the switch is set whatever the address
    return "".join(capsys.readouterr())


def by_watchdog(base, folder):
    Sheet(base, "mainnet", "test", ("ETHUSDT",)).save(folder)
    said: list[str] = []
    result = watchdog.rescue(folder, said.append)
    assert not result.clean and not result.reached
    return " ".join(said + result.remains)


def by_doctor(base, folder):
    config = loads(text_of(base, base.replace("http", "ws", 1), folder))
    return " ".join(
        f"{check.text}. {check.action}"
        for check in examine(config, asyncio.run(gather(config, Keys(KEY, SECRET), samples=1)))
        if check.verdict == "fail"
    )


def by_ccxt(name):
    def act(base, folder):
        async def main():
            made = Exchange(make_exchange(name, Keys(KEY, SECRET), base), [], "run", lambda: 1)
            made.exchange.timeout = 2000
            made.exchange.set_markets([])
            try:
                await made.exchange.fetch_balance()
            except Exception as why:
                return f"{type(why).__name__}: {why}"
            finally:
                await made.close()
            return ""

        return asyncio.run(main())

    act.__name__ = f"by_ccxt_{name}"
    return pytest.param(act, marks=pytest.mark.skipif(find_spec("ccxt") is None, reason="ccxt is not installed"), id=act.__name__)


CCXT = [by_ccxt(name) for name in EXCHANGES.values()]
WHO = [by_rest, by_blocking, by_websocket, by_live, by_command, by_kill, by_watchdog, by_doctor, *CCXT]
SPEAKS = [by_rest, by_blocking, *CCXT]  # those that send something when it is allowed


def told_by(who, base, folder, capsys):
    """What the operator reads."""
    try:
        return who(base, folder, capsys) if who is by_kill else who(base, folder)
    except ConfigError as why:
        return str(why)


# ---- the rule ----


@pytest.mark.parametrize("host", ["digits", "relay.example", "localhost", "both.example"])
@pytest.mark.parametrize("who", WHO)
def test_nothing_signed_reaches_a_listener_elsewhere(who, host, relay, hosts, tmp_path, capsys):
    hosts["localhost"] = host == "localhost"
    base = f"http://{relay.host if host == 'digits' else host}:{relay.port}"
    told = told_by(who, base, tmp_path, capsys)
    assert not relay.heard(KEY, SECRET, PHRASE), bytes(relay.read)
    assert "not encrypted" in told and relay.host in told  # what was found
    assert "https://" in told and "[feed] rest" in told and "127.0.0.1" in told  # what to change
    assert KEY not in told and SECRET not in told


@pytest.mark.parametrize("who", SPEAKS)
def test_a_name_is_resolved_once_and_what_was_judged_is_what_is_connected_to(who, relay, hosts, tmp_path, capsys):
    """A name server that says 127.0.0.1 to who asks whether it may, and another address to who connects."""
    with Relay("127.0.0.1") as near:
        hosts["relay"] = relay.host
        near_base = f"http://rebound.example:{near.port}"
        told_by(who, near_base, tmp_path, capsys)
        assert near.heard(KEY) and b"Host: rebound.example:%d" % near.port in near.read  # it does speak, and to that one
    assert not relay.taken


def test_https_rest_with_a_plain_websocket_is_refused(relay, tmp_path):
    """The login of the account went out over ws:// while every question was encrypted."""
    config = loads(text_of("https://api.bybit.com", f"ws://{relay.host}:{relay.port}", tmp_path))
    with pytest.raises(ConfigError, match=f"ws://{relay.host}:{relay.port}/v5/private: not encrypted"):
        LiveAccount(config, Keys(KEY, SECRET))

    async def main():
        async with await serve(Config(seed=1, speed=60.0, lead_s=0.1)) as emulator:
            key = emulator.keys[0]
            mixed = loads(text_of(emulator.rest, f"ws://{relay.host}:{relay.port}", tmp_path, "[live]\nwatchdog = false\n"))
            with pytest.raises(ConfigError, match="not encrypted"):
                session = Session(mixed, tmp_path / "run", emulator.clock, account=LiveAccount(mixed, Keys(key.key, key.secret)))
                await asyncio.wait_for(session.run(), 20.0)
            assert not relay.heard(key.key, key.secret)

    asyncio.run(main())


@pytest.mark.parametrize("fault", ["unknown authority", "another name", "expired"])
@pytest.mark.parametrize("who", [*SPEAKS, by_websocket])
def test_a_certificate_that_does_not_hold_gets_nothing(who, fault, hosts, tmp_path, capsys, monkeypatch):
    """TLS alone proves nothing: whoever answers has to be the one that was meant."""
    authority, other = trustme.CA(), trustme.CA()
    expired = __import__("datetime").datetime(2020, 1, 1)
    made = {
        "unknown authority": lambda: other.issue_cert("127.0.0.1"),
        "another name": lambda: authority.issue_cert("api.bybit.com"),
        "expired": lambda: authority.issue_cert("127.0.0.1", not_after=expired),
    }[fault]()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    made.configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))  # the system's authorities, as OpenSSL finds them
    with Relay("127.0.0.1", context) as one:
        told_by(who, f"https://127.0.0.1:{one.port}", tmp_path, capsys)
        assert one.taken and not one.read
    good = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(good)
    with Relay("127.0.0.1", good) as one:  # the same but for the fault: it is spoken to
        told_by(who, f"https://127.0.0.1:{one.port}", tmp_path, capsys)
        assert one.heard(KEY)


@pytest.mark.parametrize("who", SPEAKS)
def test_a_redirect_takes_no_signature_along(who, relay, tmp_path, capsys):
    with Relay("127.0.0.1", location=f"http://{relay.host}:{relay.port}/elsewhere") as near:
        told_by(who, f"http://127.0.0.1:{near.port}", tmp_path, capsys)
        assert near.heard(KEY)
    assert not relay.taken


UNSIGNED = {
    "contracts": lambda rest: fetch_list(FeedConfig(symbols=("SOLUSDT",), rest=rest, ws="ws://127.0.0.1:1")),
    "turnover": lambda rest: fetch_turnover(FeedConfig(symbols=("SOLUSDT",), rest=rest, ws="ws://127.0.0.1:1")),
    "clock of an emulator": venue_clock,
    "end of an emulated market": lambda rest: demo._stop_at_end(None, rest),
    "truth of an emulated market": lambda rest: demo._truth(rest, 0),
}


@pytest.mark.parametrize("what", UNSIGNED)
def test_a_redirect_of_public_data_is_not_followed(what):
    """A relay on loopback sent doctor and live to any address, over plain http."""
    with Relay("127.0.0.2") as far, Relay("127.0.0.1", location=f"http://127.0.0.2:{far.port}/elsewhere") as near:
        try:
            asyncio.run(asyncio.wait_for(UNSIGNED[what](f"http://127.0.0.1:{near.port}"), 3.0))
        except VenueError as why:
            assert "HTTP 307" in str(why)
        except Exception:  # a demo ends in its own way where its emulator is none
            assert what.endswith("market")
        assert near.taken and not far.taken


def test_a_context_that_checks_nothing_signs_nothing():
    keys, off, half = Keys(KEY, SECRET), ssl.create_default_context(), ssl.create_default_context()
    off.check_hostname, off.verify_mode = False, ssl.CERT_NONE
    half.check_hostname = False
    for tls in (off, half, None):
        with pytest.raises(ConfigError, match="would not be checked"):
            Endpoint("https://api.bybit.com", tls)
    later = ssl.create_default_context()
    endpoint = Endpoint("wss://stream.bybit.com/v5/private", later)
    assert private_auth_frame(keys, endpoint, 1)
    later.check_hostname = False  # switched off after it was judged: every signature asks again
    with pytest.raises(ConfigError, match="would not be checked"):
        private_auth_frame(keys, endpoint, 1)


def test_addresses_as_people_write_them(hosts):
    assert [is_loopback(f"http://{host}:80") for host in ("localhost", "127.0.0.1", "[::1]", "127.evil.example", "10.0.0.1")] == [True] * 3 + [
        False
    ] * 2
    hosts["localhost"] = True
    assert not is_loopback("https://localhost")  # it resolves elsewhere: a person is asked, and no emulator looked for
    for url, pinned in (
        ("http://127.0.0.1:80/a", "http://127.0.0.1:80/a"),
        ("ws://[::1]:9/x?y=1", "ws://[::1]:9/x?y=1"),
        ("http://127.1:80", "http://127.0.0.1:80"),
        ("http://rebound.example/a", "http://127.0.0.1/a"),
    ):
        assert Endpoint(url).url == pinned
    for url in (
        "http://0.0.0.0:1",
        "http://10.0.0.1",
        "ws://[fd00::2]:1",
        "http://[::ffff:192.0.2.1]:1",
        "http://127.0.0.1.relay.example",
        "http://both.example",
        "http://user@relay.example",
        "ftp://127.0.0.1",
        "127.0.0.1:80",
        "http://",
        "http://127.0.0.1:x",
        "http://no such name",
    ):
        with pytest.raises(ConfigError):
            Endpoint(url)
    with pytest.raises(AttributeError):  # there is no signing without a way
        rest_headers(Keys(KEY, SECRET), None, 1, "")  # type: ignore[arg-type]
