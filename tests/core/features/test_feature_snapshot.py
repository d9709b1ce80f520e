"""Snapshots of features: what was never used or did not change is not in them, and those of earlier builds are read."""

import base64
import zlib

import numpy as np
import pytest

import liqcore as lc
from liqcore.snapshot import pack, unpack

NAME = b"liqcore-features-5\n"
#: made by a build that wrote whole rings, after events(150) by features()
WHOLE = zlib.decompress(
    base64.b64decode(
        "eNrtnX9IE2EYx2e1lStMsFAhbRbFKjYMJSySmxAk1B+GFolmzm3SaG66zQqpTGH9oDQS+qEYRIN+UvlHkUT0hyRZ5IjRD+jHKgorLIgoKhDt3tu92W7edLmcZ9/PP88997"
        "y7H8/73vO+99x7O4u5ymCzmzTlJr2z2m5yaDKUG2R+LOaqarNR7zTbrA4tq2zeZrNUV5h0SyuUlXazwaS1m9ifWIlebrFt1zrteqNps7miTG/RWw1suXTHihoH2boyZ33+"
        "qgJVjmqpNn2ajLJ4WX/r8USqD/ip/W1vynmnOjloP0bXT5EBAP5zsmL8spygKNSNeoNdZy6SeDPi8nx8ClUkZhz4qfs+y4xg/6iG9N+P2rGRg/GfShr/oyVlxc/npfH12T"
        "dExcWbo1WDSZdXv64psPLa3t517alHi3TjpX2BcJnjIlW4Q8TK1vWsy1NLdKhbqZJLavBOvYh1UfHhjm8bS1G/E4YtXBdq5LWWZpbkQsRnyXIzlQ3QWVYR6xUSoBuLcP3+"
        "Mx6QEeshMf9nZrC44X/pspHtANXFYuOfx+7KbGUixj8Th1fscGh1Gh0PkeGPelUp+kfJcoKMcJqNIlZuMLSwENevZHFmK5+4K8X6303k+m1F/ztxWEmqO5v2x1znPLME8V"
        "ni1Icy6pB/kDh7jKGsKvS/AAAQDPJLYCy5SvLJ7WL5rkskn6xFvguMYnyvQz4NRAouv5ccMr+niOb9hT//uOPP41mIfAUAYPwQMj8jQ34GjBTuiekcer9KcvXKfZj/CSJF"
        "4PMfIfR5ENoaGJpzbEB6YhB73jSbzF5fO3GeN9H3Keh9ENUjJen8UaEuJrmDUgXrYpLOzxDqw0k6bom0DHw/ZXj/kPRsRkKwLiapX4R6pPw5KjkC/wS+nzOoi8lw22e4/g"
        "xX0vMV6tFqnyH9Odx+FNH3f7jtOVxJz1eoj4n/I+BPxFvEW8RbicTbCEh6nkI9Wu3zb/35VxL90Zi3T9zvAQAAAAAAAAAAAAAAAAAAAAAAAAAAAMYbPc3Xz/e5PExD2fJn"
        "7097mDOP1nyIb/ExO2MfxlUleBmna/+Bnrle5uPnbS/3u33MU+v8N9pbHqbmUr63s8HDLPmUt6Ch1ce86HqU1yn3MvL2pwdLkrxMrib+5u4GH9NSNzXv5wUPk+9yP05p9D"
        "DwOAAAACBd6HudMbn8QqQ+yDRNZIdtwhWm7hQiFr85e4/Tv8fJyYecYnnz4PcCC9pTXb1HYn+vaOWmlHfzZxD0AvTV21zJG2uav3ALO7e2kQ9+KXjzZEHxC5Po0ld18eGO"
        "a1v47e7i16aLHLeaHrfGeZdsP+CPbRSFukrh795OLyC7qutPUxK1kZen5H7zaXlgOd6fA6OtaGNT5kwifwGBkp9f"
    )
)

#: the same by a build that left out blocks of zeros, and no others
ZEROS = zlib.decompress(
    base64.b64decode(
        "eNrLySxMzi9K1U1LTSwpLUot1jXhCmOAgJzMwtLMlMSSzPy8Yj0gJ74sP6c0N9XBMJeroCgzOVWvKBWoJQ/ET8vJL9crKUpMSY3PzE1KzEnMSwaqMyi2qioGmc7lGBrsEqLgqGCoZ8AJ"
        "NZ2RgUHL7N+c6eJwgf8QUI9QMcnxucJcJBXTEHohwBLKYk4DAbZIBwZKwYllq0FWEq0e6kR8ShgZBh6cPQMEPJjho4g9AH/U04cGAUgqgNGwRDBQNEPMHSVFaIT+wRJzfGoQ+urqcA/e"
        "qf/5wYE3ABEqsc79YVVIHpTX9jpwh9zUaIfBktxIBzKtIC9U4JAF+lVkHXucw9D0Gwh4gHxwvAmHrGZM/6GvEQlD2H/oIANcoKRAebNmAoFk5BBOnyMd7JEDZlCLPByy60EZtC/aYTRu"
        "aQUugCrwHlzhb2IMBIuHcvhHAAtAjRhc5f+1xQW2XOJxwyh9PQBWB+6KsPoAVPxruCQM4fJxBqiEn5mCQxZcGahFjpYPQxaU2HJdX1yAq/yJBaXfOaPl//ABNqDotoWVx+DCmT9uyLff"
        "mvBJOgz59ndDCj5ZhdHyd/C0r7aA2tM7cLV31oLa03pxo/FFSf52GMrtqUHZvpPE275jG8jyBdL+rEBpbw6++gpv+cwwWj4TD8A9JhlYeQ1qq3C1R4/mdxq1/9ABrD2IO6xXACPkejKu"
        "9pYoaPTaZ/iMd8KmV2DlIIxPLRo2forOx0XD2nvofFw0rH+OzidEw8otatOo01WEwwfUPDMWxuTjomHhgs6nVnhSRBMRPqizdQg+LprU9ElqeJJKw/yLzh+o9Ik3PAnZwzbw4U9qeiaV"
        "hvkXnU+X8KdCeI6Wt6Pl7Wh5O0TKWyrQMH+i8wcqfZIbnmTRo/UR3dPncO0FPpu5feWf1nP2vUmWt18sOme/7Kr3S4FZ9+xrOK/wFQpfsi9p7eh8Jn/J/s2Hsvsdi+/Z38pTfqy375x9"
        "1drgS0d7z9lrvw1Q7Z1zz/7uiasBR1kv2bPuuNUdJ3HJ3kNXYE9d7z37WY3sAT9XnbMPbl18TbbvnP1QDScmKM3I6AljUWtBGkYXeQO6QOpZWRCl9Xj5KTD/Ox+rItKqSRa4wpAdcq2v"
        "J3LCBeaAc89ZqA0Yff0tR8Aqd3nP/ARm1GRvAC11ZINKo696WwULBIYvGjH9h7ZmQM2thYoa4HC3BszduiUnQeZXoI0pFqDre8IdArKq8Z8iF4jbB6UXsEKkF7GiqoMG5H9K47icIc8I"
        "RAMAG9Ki1Q=="
    )
)


def features():
    return lc.Features(
        ["liquidations.liq_volume@1m", "price.return@1m", "flow.trade_imbalance@10s:zscore"],
        [lc.Instrument("AUSDT", tick_size="0.1", lot_size="0.1", completeness=lc.Completeness.COMPLETENESS_FULL)],
    )


def events(n, first=0):
    k = np.arange(first, n)
    e = np.zeros(n - first, lc.EVENT_DTYPE)
    e["ts_recv"] = e["ts_event"] = 1_700_000_000_000_000_000 + k * 1_000_000_000
    e["kind"], e["side"] = np.where(k % 5 == 4, int(lc.Kind.LIQUIDATION), int(lc.Kind.TRADE)), np.where(k % 3, 1, -1)
    e["price"], e["qty"] = 100 + (k % 7) * 0.1, 1 + (k % 4) * 0.1
    return e


def pushed(f, *parts):
    for part in parts:
        f.push(part)
    return f


@pytest.mark.parametrize("old", [WHOLE, ZEROS], ids=["whole", "zeros"])
def test_a_snapshot_of_an_earlier_build_goes_on_as_if_there_had_been_none(old):
    whole, again = pushed(features(), events(400)), features()
    again.restore(old)
    assert again.snapshot() == pushed(features(), events(150)).snapshot()
    assert pushed(again, events(400, 150)).snapshot() == whole.snapshot()
    assert [again.read(name, 0) for name in again.names] == [whole.read(name, 0) for name in whole.names]


@pytest.mark.parametrize("count", [0, 1, 150, 400])
def test_what_was_never_used_or_did_not_change_is_not_written(count):
    made = pushed(features(), events(count)).snapshot()
    assert len(made) < len(WHOLE) // 3
    again = features()
    again.restore(made)
    assert again.snapshot() == made


def test_a_part_of_another_length_is_refused_and_changes_nothing():
    made, f = pushed(features(), events(150)).snapshot(), pushed(features(), events(20))
    before, parts = f.snapshot(), unpack(NAME, made, "features")
    for k in range(1, 14):
        for wrong in (parts[k] + b"x", parts[k][:-1], b""):
            if wrong != parts[k]:
                with pytest.raises(ValueError, match="another version of liqcore"):
                    f.restore(pack(NAME, [*parts[:k], wrong, *parts[k + 1 :]]))
                assert f.snapshot() == before
