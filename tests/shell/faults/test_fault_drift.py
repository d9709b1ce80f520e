"""Schema drift: a field of a private frame changes while an entry is on its way. The position has its stop, and is closed."""

import json
import math
import random

import pytest
from faults import drift
from faults.drift import Drift, changed, paths
from faults.script import Script
from faults.world import run

import campaigns

# what the program lives on; the other fields, and the other ways, are behind the marker `campaign`
VITAL = {
    "order": ("orderStatus", "orderLinkId", "orderId", "cumExecQty", "qty", "side", "symbol", "stopLoss", "updatedTime"),
    "execution": ("execType", "execId", "execPrice", "execQty", "orderLinkId", "orderId", "side", "symbol", "execTime"),
    "position": ("size", "side", "stopLoss", "positionIdx", "updatedTime"),
    "wallet": ("totalEquity",),
}
SEED, FIRST_S = 3, 59.0


def first_s(seed: int) -> float:
    """When a calm run of a seed asks for its first entry."""
    found = []

    def plant(world):
        arrives = world.truth.create_arrives
        world.truth.create_arrives = lambda wish: (found.append(world.clock.now - world.start), arrives(wish))

    run(Script(seed, 0.2), plant=plant)
    return found[0] / 1e9


def explain(one: Drift, outcome) -> str:
    return f"{one} (seed {outcome.seed}): {outcome.violation}\n" + "\n".join(outcome.tail)


def test_every_way_of_drifting_changes_the_field_and_nothing_else():
    message = {"topic": "order", "data": [{"qty": "0.5", "open": True, "n": 3, "fee": {"USDT": "1"}}, {"qty": "7"}]}
    said = {how: changed(message, ("data", "*", "qty"), how) for how in drift.HOWS}
    assert [row.get("qty") for row in said["dropped"]["data"]] == [None, None] and said["null"]["data"][0]["qty"] is None
    assert said["reworded"]["data"][1]["qty"] == "7V2" and changed(message, ("data", "*", "open"), "reworded")["data"][0]["open"] == "TrueV2"
    assert said["retyped"]["data"][0]["qty"] == 0.5 and said["renamed"]["data"][1] == {"qtyV2": "7"}
    assert list(said["added"]["data"][1]) == ["addedField", "qty"] and said["added"]["data"][0]["n"] == 3
    assert changed(message, ("data", "*", "open"), "retyped")["data"][0]["open"] == "true"
    assert ("data", "*", "fee", "USDT") in set(paths(message)) and changed(message, ("data", "*", "none"), "dropped") == message
    assert message["data"][0]["qty"] == "0.5" and drift.frame_of(message) == "order"
    assert [drift.frame_of(json.loads(text)) for text in ('{"op":"order.create"}', '{"op":"pong"}', '{"op":"auth"}')] == ["reply", "pong", "login"]


def test_the_fields_are_those_that_the_venue_sends():
    fields = drift.fields_of(SEED, first_s(SEED))
    assert {"order", "execution", "position", "wallet", "reply", "login", "pong"} == set(fields)
    assert all(("data", "*", name) in fields[kind] for kind, names in VITAL.items() for name in names)
    assert ("data", "orderLinkId") in fields["reply"] and ("data", "*", "coin", "*", "equity") in fields["wallet"] and len(drift.drifts(fields)) > 900


@pytest.mark.slow
@pytest.mark.parametrize("kind", VITAL)
@pytest.mark.parametrize("how", ["dropped", "retyped"])
def test_a_vital_field_may_go_and_the_position_is_protected_and_closed(kind, how):
    for name in VITAL[kind]:
        one = Drift(kind, ("data", "*", name), how)
        outcome = drift.judge(one, SEED, FIRST_S)
        assert outcome.violation is None, explain(one, outcome)
        assert outcome.counts[drift.REACHED] and outcome.counts["entries"], explain(one, outcome)


@pytest.mark.parametrize("seed", drift.SEEDS)
@pytest.mark.parametrize(
    ("frame", "name", "how"),
    [("execution", "execType", "reworded"), ("execution", "execId", "reworded"), ("order+execution", "orderLinkId", "dropped")],
)
def test_our_own_fills_told_in_other_words_are_ours(seed, frame, name, how):
    """The kind of an execution is a new word, or nothing says whose it is; the position frames and the answers to questions stay as they are."""
    one = Drift(frame, ("data", "*", name), how)
    outcome = drift.judge(one, seed, first_s(seed))
    assert outcome.violation is None, explain(one, outcome)
    assert outcome.counts[drift.REACHED] and outcome.counts["entries"], explain(one, outcome)


@pytest.mark.campaign
@pytest.mark.parametrize("seed", drift.SEEDS)
def test_every_field_of_every_frame_may_change_in_every_way(seed):
    """All of them in a random order, or as many as there is time for."""
    began = first_s(seed)
    every = list(drift.drifts(drift.fields_of(seed, began)))
    random.Random(campaigns.seed()).shuffle(every)
    for _, one in zip(campaigns.cases(math.inf, gate=150), every, strict=False):
        outcome = drift.judge(one, seed, began)
        assert outcome.violation is None, explain(one, outcome)
