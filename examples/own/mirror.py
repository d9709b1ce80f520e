"""A venue of one's own: one that speaks the protocol of liqshell/venues/_template at another address. See own.toml for its name."""

from dataclasses import replace

from liqcore.instrument import Instrument
from liqshell.venues._template.adapter import ADAPTER as TEMPLATE
from liqshell.venues._template.instruments import parse_instruments
from liqshell.venues.adapter import Addresses


def contracts(page, cursor=""):
    found = parse_instruments(page, cursor)
    return replace(found, instruments=[Instrument(**one.as_dict() | {"venue": "mirror"}) for one in found.instruments])


ADAPTER = replace(
    TEMPLATE, venue="mirror", parse_instruments=contracts, environments={"mainnet": Addresses("http://127.0.0.1:8090", "ws://127.0.0.1:8091")}
)
