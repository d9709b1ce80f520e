"""The table of what was seen lately: against a plain dictionary that forgets the oldest."""

from collections import OrderedDict

from hypothesis import given
from hypothesis import strategies as st

from liqshell.gateway.executions import Recent


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 30), st.integers(-(2**63), 2**63 - 1)), max_size=200), st.integers(1, 12))
def test_it_knows_the_latest_names_and_no_others(steps, capacity):
    table, oracle = Recent(capacity), OrderedDict()
    for is_put, n, value in steps:
        name = f"DOGEUSDT {n}"
        if is_put:
            table.put(name, value)
            if name not in oracle and len(oracle) == capacity:
                oracle.popitem(last=False)
            oracle[name] = value
        assert (name in table) == (name in oracle)
        assert table.get(name) == oracle.get(name)


def test_the_memory_is_there_from_the_start():
    table = Recent(16_384)
    before = table._marks.ctypes.data, table._values.ctypes.data
    for n in range(40_000):
        table.put(str(n))
    assert (table._marks.ctypes.data, table._values.ctypes.data) == before and "39999" in table and "20000" not in table
