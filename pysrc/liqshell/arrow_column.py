"""Converts NumPy columns to Arrow and back by their bytes. pyarrow's own functions (array, to_numpy, cast, fill_null) import pyarrow.compute, and
pandas if it is installed, which takes half a second in each process."""

from __future__ import annotations

from typing import Any

import numpy as np


def arrow_column(values: np.ndarray, missing: np.ndarray | None = None) -> Any:
    """pyarrow.array(values, mask=missing), of numbers; or of texts and None."""
    import pyarrow as pa

    if values.dtype.kind in "iuf":
        valid = None if missing is None or not missing.any() else pa.py_buffer(np.packbits(~missing, bitorder="little"))
        return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [valid, pa.py_buffer(np.ascontiguousarray(values))])
    known: dict[Any, bytes] = {None: b""}
    texts = values.tolist()
    for text in texts:
        if text not in known:
            if not isinstance(text, str):
                return pa.array(texts)
            known[text] = text.encode()
    if values.dtype.kind == "O" and len(known) == 1:
        return pa.nulls(len(texts))
    written = [known[text] for text in texts]
    there = np.array([text is not None for text in texts], bool)
    ends = np.cumsum([0, *map(len, written)], dtype=np.int32)
    valid = None if there.all() else pa.py_buffer(np.packbits(there, bitorder="little"))
    return pa.Array.from_buffers(pa.string(), len(texts), [valid, pa.py_buffer(ends), pa.py_buffer(b"".join(written))])


def numpy_column(column: Any, missing: float = 0) -> np.ndarray:
    """The numbers of an Arrow column, a time as its integer; `missing` in the place of null."""
    pieces = _pieces(column)
    dtype = _dtype(column.type)
    out = [np.frombuffer(one.buffers()[1] or b"", dtype, len(one), one.offset * dtype.itemsize) if len(one) else np.zeros(0, dtype) for one in pieces]
    for n, one in enumerate(pieces):
        if one.null_count:
            out[n] = np.where(_there(one), out[n], dtype.type(missing))
    return out[0] if len(out) == 1 else np.concatenate([np.zeros(0, dtype), *out])


def nulls_of(column: Any) -> np.ndarray:
    """Where an Arrow column has no value."""
    return np.concatenate([np.zeros(0, bool), *(~_there(one) for one in _pieces(column))])


def _pieces(column: Any) -> list[Any]:
    return column.chunks if hasattr(column, "chunks") else [column]


def _there(column: Any) -> np.ndarray:
    bits = column.buffers()[0]
    if bits is None:
        return np.full(len(column), column.null_count == 0)
    return np.unpackbits(np.frombuffer(bits, np.uint8), bitorder="little")[column.offset : column.offset + len(column)].astype(bool)


def _dtype(of: Any) -> np.dtype[Any]:
    from pyarrow import types

    if types.is_floating(of):
        return np.dtype(f"f{of.bit_width // 8}")
    return np.dtype(f"{'u' if types.is_unsigned_integer(of) else 'i'}{of.bit_width // 8}")
