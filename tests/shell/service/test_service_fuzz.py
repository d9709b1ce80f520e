"""Any request gets an answer that is none of a fault: 200 to 499, or 503; as a property, as a campaign of 100,000, and by schemathesis. What the
API describes of names and times is what it takes."""

import json
import random
import re
import shutil
import string
import subprocess
from calendar import isleap
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import campaigns
from api_rig import DAY, NAMES, T0, asked, fill, market, served
from liqcore.features.spec import parse
from liqcore.features.table import ENTRIES
from liqshell.service import openapi
from liqshell.service.questions import step_of, time_of
from recorded_run import record_run

GOOD = {200, 202, 304, 400, 401, 403, 404, 405, 406, 409, 413, 415, 422, 429, 503}
PATHS = (
    "/v1/features",
    "/v1/features/parse",
    "/v1/features/live",
    "/v1/features/historical",
    "/v1/jobs",
    "/v1/jobs/0",
    "/v1/signals",
    "/v1/health",
    "/v1/openapi.json",
    "/docs",
    "/",
    "/v1/../etc/passwd",
)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz")
    return fill(folder / "store", market(folder / "0", 0, 300))


@pytest.fixture(scope="module")
def api(store, tmp_path_factory):
    with asked(store, tmp_path_factory.mktemp("state")) as one:
        yield one


def check(answer):
    assert answer.status in GOOD, (answer.status, answer.body)
    if answer.status >= 400 and answer.headers["content-type"] != "application/json":
        assert answer.headers["content-type"] == "application/problem+json" and json.loads(answer.body)["status"] == answer.status


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from([*NAMES, "BTC", "1m", T0 + DAY // 2]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["asset", "contract", "at", "feature", "after"]), inner),
    max_leaves=8,
)
bodies = st.dictionaries(
    st.sampled_from(["features", "rows", "asset", "contract", "venue", "at", "every", "start", "end", "label", "on_outside", "run", "x"]), values
)


@given(bodies, st.booleans())
@settings(max_examples=300)
def test_any_body(api, body, well):
    if well:
        body = {"features": ["price.last"]} | {key: value for key, value in body.items() if key != "features"}
    check(api.ask("POST", "/v1/features/historical", body=json.dumps(body).encode(), headers={"content-type": "application/json"}))


def fits(schema, value):
    return re.search(schema["pattern"], value) is not None and schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value))


def test_every_name_that_is_one_fits_the_description():
    spans = {"map": "@3.25pct", "hawkes": "@15s"}
    names = [key + (spans.get(entry.group, "@1m") if entry.window is not None else "") for key, entry in ENTRIES.items()]
    names += [
        f"{asset}{name}:{transform}"
        for name in names
        for asset in ("", "BTC/")
        for transform in ("zscore", "zscore(7d,min=10)", "rank(min=30)", "mean", "std(3h)", "max", "min", "n", "n_eff(2h)", "lag(90s)", "change")
    ]
    names += [
        "liq_volume_5s",
        "liq_volume_mean_15m",
        "liq_imbalance_zscore",
        "liq_btc_lead",
        "liq_correlation_5m",
        "liq_rate",
        "liquidations.liq_btc_lead",
        "liquidations.liq_buy_volume@5s",
        "1000PEPE/price.last",
    ]
    for name in names:
        assert parse(name) and fits(openapi.FEATURE, name), name
    assert fits(openapi.FEATURES[1], ",".join(names[-64:])) and not fits(openapi.FEATURES[1], ",".join(names[:65]))


@given(
    st.from_regex(openapi.TIME_TEXT["pattern"], fullmatch=True, alphabet=st.characters(codec="ascii", exclude_characters="\n")),
    st.from_regex(openapi.DURATION["pattern"], fullmatch=True, alphabet=st.characters(codec="ascii", exclude_characters="\n")),
)
@settings(max_examples=400)
def test_what_the_description_calls_a_time_is_one(written, every):
    assert time_of(written, "at") > 0 and step_of(every, "every") > 0


# numbers of the description reach to 2115-10-08: 4.6e9 s
@given(
    st.datetimes(datetime(1971, 1, 1), datetime(2115, 10, 8)),  # noqa: DTZ001  (hypothesis wants naive bounds; the zone is drawn apart)
    st.sampled_from(["seconds", "minutes", "milliseconds", "microseconds"]),
    st.sampled_from(["", "Z", "+05:30", "-11:00"]),
    st.sampled_from("T "),
    st.integers(0, 3),
)
@settings(max_examples=400)
def test_a_time_fits_the_description(when, parts, zone, between, digits):
    """As Python writes it, dates alone, and as numbers; a day that no month has does not."""
    assert fits(openapi.TIME_TEXT, when.isoformat(between, parts) + zone) and fits(openapi.TIME_TEXT, str(when.date()))
    number = int(when.replace(tzinfo=UTC).timestamp()) * 1000**digits
    if len(str(number)) == 10 + 3 * digits:
        assert fits(openapi.TIME_TEXT, str(number)) and time_of(str(number), "at") == time_of(number, "at") == time_of(float(number), "at")
        assert any(one.get("minimum", 1) <= number <= one.get("maximum", 0) for one in openapi.TIME["anyOf"])
    for wrong in (f"{when.year}-02-30", f"{when.year}-04-31", f"{when.year}-13-01", *([] if isleap(when.year) else [f"{when.year}-02-29"])):
        assert not fits(openapi.TIME_TEXT, wrong)


@given(
    st.sampled_from(["GET", "POST", "HEAD", "PUT", "OPTIONS"]),
    st.sampled_from(PATHS) | st.text(max_size=30).map("/v1/".__add__),
    st.text(string.printable, max_size=60),
    st.dictionaries(
        st.sampled_from(["accept", "if-none-match", "origin", "x-request-id", "content-type", "host", "last-event-id"]),
        st.text(st.characters(max_codepoint=255), max_size=30),
    ),
)
@settings(max_examples=300)
def test_any_request(api, method, path, query, headers):
    answer = api.ask(method, path, query, b"{}" if method == "POST" else None, headers)
    check(answer._replace(body=answer.body or api.ask("GET", path, query, None, headers).body) if method == "HEAD" else answer)


def mangled(rng: random.Random):
    """A request that is right but for a few changes."""
    name = rng.choice(NAMES)
    if rng.random() < 0.4:
        at = rng.randrange(len(name))
        name = name[:at] + rng.choice(string.printable) * rng.randrange(3) + name[at + rng.randrange(3) :]
    when = rng.choice(
        [T0 + rng.randrange(DAY), (T0 + rng.randrange(DAY)) // 10**9, "2026-02-09T10:00:00", "2026-02-09", "", -1, 10**30, 1e18, None, [], "9" * 400]
    )
    if rng.random() < 0.5:
        from urllib.parse import urlencode

        query = {
            "features": name,
            "asset": rng.choice(["BTC", "ETH", "", "X" * 300]),
            rng.choice(["contract", "venue", "run", "strict", "every", "x"]): rng.choice(["bybit", "1", ""]),
        }
        return "GET", rng.choice(PATHS[:3] + PATHS[5:7]), urlencode(query), None, {}
    body = {"features": [name] * rng.randrange(1, 70)}
    body |= rng.choice(
        [
            {"rows": [{"asset": "BTC", "at": when}] * rng.randrange(3)},
            {"asset": "ETH", "at": [when]},
            {"asset": "BTC", "every": rng.choice(["1h", "1ms", "", "0s", when]), "start": when},
        ]
    )
    if rng.random() < 0.2:
        body["label"] = rng.choice([{"feature": name, "after": "1h"}, name, {"feature": 1, "after": "x"}, {}])
    data = json.dumps(body).encode()
    if rng.random() < 0.2:
        at = rng.randrange(len(data))
        data = data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]
    return (
        "POST",
        "/v1/features/historical",
        "",
        data,
        {"content-type": "application/json", "accept": rng.choice(["*/*", "text/csv", "application/x-ndjson", "x", "a;q=z"])},
    )


def test_mangled_requests(api):
    rng = random.Random(11)
    for _ in range(1500):
        check(api.ask(*mangled(rng)))


@pytest.mark.campaign
def test_a_hundred_thousand_mangled_requests(api):
    seed = campaigns.seed()
    for case in campaigns.cases(600, 100_000):
        try:
            check(api.ask(*mangled(random.Random(seed + case))))
        except AssertionError as why:
            raise AssertionError(f"seed {seed + case}") from why


#: what the API's description cannot know, so that answers are reached, too; the rest of the values is drawn from the description
KNOWN = """
[dictionaries]
assets = {{ values = {assets} }}
names = {{ values = {names} }}
[parameters]
"query.asset" = {{ dictionary = "assets", probability = 0.6 }}
"query.features" = {{ dictionary = "names", probability = 0.6 }}
"body.asset" = {{ dictionary = "assets", probability = 0.8 }}
"body.contract" = {{ dictionary = "assets", probability = 0.5 }}
"body.rows[*].asset" = {{ dictionary = "assets", probability = 0.9 }}
"body.features[*]" = {{ dictionary = "names", probability = 0.9 }}
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("schemathesis") is None, reason="schemathesis is not installed")
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("what", ["store", "run"])
def test_schemathesis_finds_nothing(store, tmp_path, what, seed):
    """Every check that it has, with its own settings: what the description allows is answered, or refused for what the data are (404, 409)."""
    data = store if what == "store" else record_run(tmp_path / "run", hours=0.2)
    assets = ["BTC", "ETH"] if what == "store" else ["SOL", "DOGE"]
    (tmp_path / "schemathesis.toml").write_text(KNOWN.format(assets=assets, names=[name for name in NAMES if "/" not in name]))
    with served(data, tmp_path / "state") as (address, token):  # a stream of events has no end
        done = subprocess.run(
            [
                "schemathesis",
                "run",
                f"{address}/v1/openapi.json",
                "-H",
                f"Authorization: Bearer {token}",
                "--checks",
                "all",
                "--exclude-path",
                "/v1/features/stream",
                "--max-examples",
                "200",
                "--seed",
                str(seed),
            ],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            timeout=1800,
        )
        assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
        assert int(re.search(r"([0-9]+) generated", done.stdout)[1]) > 2000, done.stdout[-3000:]
