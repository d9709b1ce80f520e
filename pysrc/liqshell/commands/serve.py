"""`liqcore serve` and `liqcore serve key`."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from liqcore.features.spec import split_names
from liqshell.errors import ConfigError
from liqshell.input_file import address_of
from liqshell.name_lists import Names

STATE = Path(".liqcore-serve")
Flag = Annotated[bool, Parameter(negative=())]
Texts = Annotated[tuple[str, ...], Parameter(negative=(), consume_multiple=True)]


def what(
    data: Path = Path("runs"),
    /,
    *,
    bind: str = "127.0.0.1",
    port: int = 8710,
    host_name: Names = (),
    tls_cert: Path | None = None,
    tls_key: Path | None = None,
    behind_proxy: Flag = False,
    no_auth: Flag = False,
    features: Texts = (),
    live_limit: int = 600,
    history_limit: int = 60,
    state: Path = STATE,
) -> int:
    """Serve point-in-time features over HTTP, from a store or from the recordings of runs. A separate process that only reads.

    It prints its address and runs until it is interrupted. /docs lists the requests. Needs pip install 'liqcore[api]'.

    Parameters
    ----------
    data
        A store, a run, or a folder of runs; the newest run is read while it is written. Of a store at an address (s3://BUCKET/PATH) it serves what
        was published when it was started.
    bind
        Address to listen on. An address other than this machine's own needs TLS files or --behind-proxy.
    port
        0 = any free one.
    host_name
        Names under which clients know this server. Requests for other names are refused.
    tls_cert
        PEM file of the certificate.
    tls_key
        PEM file of its key.
    behind_proxy
        A proxy in front of it ends TLS.
    no_auth
        Without keys, for this machine only.
    features
        Names computed from the start; others are computed on request.
    live_limit
        Requests a minute and key for live values; 0 = without limit.
    history_limit
        The same for the past; 10,000 cells of an answer count as one more request.
    state
        Folder of keys and checkpoints.
    """
    from liqshell.service import server

    if address_of(data):
        from liqshell.store.remote import local  # pyarrow

        data = local(data)
    chosen = [name.strip() for text in features for name in split_names(text)]
    server.serve(data, state, server.Options(bind, port, host_name, tls_cert, tls_key, behind_proxy, not no_auth, live_limit, history_limit, chosen))
    return 0


def new(*, scope: Names, note: str = "", state: Path = STATE) -> int:
    """Create a key and print it once; only its hash is kept.

    Parameters
    ----------
    scope
        features:read, history:read, signals:read, runs:read; several with commas.
    note
        Its owner.
    state
        Folder of keys and checkpoints.
    """
    from liqshell.service import keys

    print(keys.new(state, tuple(dict.fromkeys(scope)), time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), note))
    return 0


def list_(*, state: Path = STATE) -> int:
    """List the keys: id, scopes, time of creation.

    Parameters
    ----------
    state
        Folder of keys and checkpoints.
    """
    from liqshell.service import keys

    found = keys.read(state)
    for key in found.values():
        print(f"{key.id}  {','.join(key.scopes)}  {key.created}  {key.note}".rstrip())
    if not found:
        print(f"no keys in {state}: `liqcore serve key new` makes one", file=sys.stderr)
    return 0


def revoke(ident: str, /, *, state: Path = STATE) -> int:
    """Revoke a key at once.

    Parameters
    ----------
    ident
        Its id, as `liqcore serve key list` shows it.
    state
        Folder of keys and checkpoints.
    """
    from liqshell.service import keys

    if not ident:
        raise ConfigError("key", "no id", "one of `liqcore serve key list`")
    keys.revoke(state, ident)
    return 0


def _app(name: str) -> App:
    return App(
        name=name,
        help_format="plaintext",
        result_action="return_value",
        exit_on_error=False,
        print_error=True,
        version_flags=[],
        suppress_keyboard_interrupt=False,
    )


key = _app("key")
key.command(new, name="new")
key.command(list_, name="list")
key.command(revoke, name="revoke")
serve = _app("serve")
serve.default(what)
serve.command(key, name="key")
