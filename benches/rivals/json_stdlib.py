"""The standard library's json."""

import json

from benches.rivals.orjson import decoder, encoder

PACKAGE = ""


def decode(shape):
    return decoder(shape, json.loads)


def encode():
    return encoder(lambda order: json.dumps(order, separators=(",", ":")).encode())
