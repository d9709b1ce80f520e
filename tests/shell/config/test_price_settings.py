"""What decides what a price is, in configuration and settings: how long a quote holds, how long a taker waits for a print, and what a spread is."""

import json

import pytest

import liqcore as lc
from liqshell.config.load import loads
from liqshell.errors import ConfigError
from liqshell.research.compare import plan
from liqshell.run.pipeline import make_paper, settings


def test_what_prices_are_taken_for_is_in_the_settings_of_every_run():
    """A run's settings decide its replay and its backtest: how long a quote holds, how long a taker waits for a print, and what a spread is."""
    two = [lc.Instrument("ETHUSDT"), lc.Instrument("SOLUSDT")]
    usual = settings(loads(""), two)
    assert usual["quote_age_s"] == 10.0 and usual["paper"]["print_wait_s"] == 5.0 and usual["paper"]["half_spread"] is None
    read = loads("[engine]\nquote_age_s = 3\n[paper]\nhalf_spread = 0.0004\nprint_wait_s = 2.5\n")
    values = settings(read, two, measured=(0.0001, None))
    assert values["quote_age_s"] == 3.0 and values["paper"]["print_wait_s"] == 2.5
    assert values["paper"]["half_spread"] == 0.0004, "what is configured is not measured"
    assert settings(loads(""), two, measured=(0.0001, None))["paper"]["half_spread"] == [0.0001, None]
    assert settings(loads(""), two, measured=(None, None))["paper"]["half_spread"] is None
    assert values == json.loads(json.dumps(values))


def test_a_market_that_runs_faster_than_the_wall_has_quotes_that_last_as_long_on_the_wall():
    """Our own delays count `speed` times: at 240 times the wall 10 s of the market are 42 ms of ours."""
    assert settings(loads(""), [lc.Instrument("ETHUSDT")], 240.0)["quote_age_s"] == 24.0
    assert settings(loads(""), [lc.Instrument("ETHUSDT")], 60.0)["quote_age_s"] == 10.0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[paper]\nhalf_spread = -0.1", "paper.half_spread: found -0.1; expected a fraction from 0 to 0.1"),
        ("[paper]\nhalf_spread = 'usual'", "paper.half_spread: found 'usual'"),
        ("[paper]\nprint_wait_s = 0", "paper.print_wait_s: found 0; expected a number above 0"),
        ("[engine]\nquote_age_s = 0", "engine.quote_age_s: found 0; expected a number from 0.001 to 3600"),
        ("[engine]\nquote_age = 5", "Did you mean 'quote_age_s'?"),
    ],
)
def test_faults_name_key_and_range(text, says):
    with pytest.raises(ConfigError) as caught:
        loads(text, "my.toml")
    assert says in "\n".join(str(problem) for problem in caught.value.problems)


def test_the_engine_and_the_venue_take_all_that_may_be_said():
    two = [lc.Instrument("ETHUSDT"), lc.Instrument("SOLUSDT")]
    for text in (
        "[engine]\nquote_age_s = 3600\n[paper]\nprint_wait_s = 3600\nhalf_spread = 0.1\n",
        "[engine]\nquote_age_s = 0.001\n[paper]\nprint_wait_s = 0.001\nhalf_spread = 0\n",
    ):
        make_paper(settings(loads(text), two))
    make_paper(settings(loads(""), two, measured=(0.0001, None)))


def test_a_comparison_of_a_run_takes_for_a_price_what_the_run_took(tmp_path):
    told = {"limits": {"data_age_max_s": 24.0}, "quote_age_s": 24.0, "paper": {"half_spread": 0.0003, "print_wait_s": 7.0}}
    (tmp_path / "run.json").write_text(json.dumps({"mode": "paper", "settings": told}))
    read = plan.read(tmp_path)
    assert (read.engine.quote_age_s, read.paper.half_spread, read.paper.print_wait_s, read.limits.data_age_max_s) == (24.0, 30_000, 7.0, 24.0)
    (tmp_path / "run.json").write_text(
        json.dumps({"mode": "backtest", "settings": told | {"paper": {"half_spread": [0.0003, None], "print_wait_s": 7.0}}})
    )
    assert plan.read(tmp_path).paper.half_spread is None, "what was measured is measured anew"
