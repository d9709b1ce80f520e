"""Named events of [blackout]: the FOMC dates that ship, a user's file, zones by their own rules, and what doctor says of a calendar that ends."""

from datetime import UTC, datetime

import pytest

from liqshell.config.load import load
from liqshell.config.timetable import ends, read_windows, timetable_settings
from liqshell.doctor.checks import _calendar
from liqshell.doctor.facts import Facts
from liqshell.errors import ConfigError

NS = 1_000_000_000
TEXT = '[feed]\nsymbols = ["BTCUSDT"]\n[blackout]\n'


def ns(text):
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * NS


def configured(tmp_path, more):
    (tmp_path / "run.toml").write_text(TEXT + more)
    return load(tmp_path / "run.toml")


def test_fomc_ships_with_its_summer_time(tmp_path):
    windows = timetable_settings(configured(tmp_path, "").hours, configured(tmp_path, 'calendars = ["fomc"]').blackout, [])["windows"]
    assert len(windows) == 17 and {row[3] for row in windows} == {"FOMC statement"}
    starts = {row[0]: row[1] for row in windows}
    # 14:00 in New York is 18:00 UTC in summer and 19:00 in winter; half an hour before, an hour and a half after
    assert starts[ns("2026-06-17T17:30")] == ns("2026-06-17T19:30") and starts[ns("2026-12-09T18:30")] == ns("2026-12-09T20:30")
    assert max(starts) == ns("2028-01-26T18:30")


def test_a_users_file_of_events(tmp_path):
    (tmp_path / "cpi.csv").write_text("name,at,tz,before_s,after_s\nCPI,2026-12-10T08:30,America/New_York,600,1200\nmine,2026-12-11T00:00,,,\n")
    first, second = read_windows(tmp_path / "cpi.csv")
    assert (first.start, first.end, first.reason) == (ns("2026-12-10T13:20"), ns("2026-12-10T13:50"), "CPI")
    assert second.start == ns("2026-12-10T23:30") and second.reason == "mine"
    config = configured(tmp_path, 'files = ["cpi.csv"]')
    facts = Facts(now_ns=ns("2026-11-23T00:00"))
    (check,) = _calendar(config, facts)
    assert check.verdict == "warn" and "cpi.csv" in check.text and "in 18 days" in check.text
    assert not list(_calendar(config, Facts(now_ns=ns("2026-10-01T00:00")))) and ends(config.blackout)[0][1] == second.end
    assert "over" in next(_calendar(config, Facts(now_ns=ns("2027-01-01T00:00")))).text


@pytest.mark.parametrize(
    "row",
    [
        "CPI,tomorrow,UTC,1,1",
        "CPI,2026-12-10T08:30,Nowhere/City,1,1",
        ",2026-12-10T08:30,UTC,1,1",
        "CPI,2026-12-10T08:30,UTC,-1,1",
        "CPI,2026-12-10T08:30,UTC,nan,1",
        "CPI,2026-12-10T08:30,../etc,1,1",
        "CPI,2026-12-10T08:30Z,America/New_York,1,1",
        "CPI,0001-01-01T00:00,UTC,1,1",
        "CPI,1970-01-01T00:00,UTC,1,1",
    ],
)
def test_a_row_that_is_no_event_names_its_line(tmp_path, row):
    (tmp_path / "cpi.csv").write_text(f"name,at,tz,before_s,after_s\n{row}\n")
    with pytest.raises(ConfigError, match=r"cpi.csv:2") as why:
        configured(tmp_path, 'files = ["cpi.csv"]')
    assert "datetime" not in str(why.value)


def test_a_local_time_that_comes_twice_closes_around_both(tmp_path):
    """America/New_York goes back from 02:00 to 01:00 on 2026-11-01: 01:30 is 05:30 and 06:30 UTC. An offset that is the zone's own is fine."""
    (tmp_path / "x.csv").write_text(
        "name,at,tz,before_s,after_s\na,2026-11-01T01:30,America/New_York,60,120\nb,2026-12-10T08:30-05:00,America/New_York,60,60\n"
    )
    twice, plain = read_windows(tmp_path / "x.csv")
    assert (twice.start, twice.end) == (ns("2026-11-01T05:29"), ns("2026-11-01T06:32"))
    assert (plain.start, plain.end) == (ns("2026-12-10T13:29"), ns("2026-12-10T13:31"))


@pytest.mark.parametrize(
    "text, key",
    [
        ('[judge]\nkind = "openai"', "judge.model"),
        ('[judge]\nkind = "command"', "judge.program"),
        ('[judge]\nkind = "recorded"', "judge.recordings"),
        ('[judge]\nkind = "openai"\nmodel = "m"\nusd_day = 1', "judge.prices"),
        ('[judge]\nkind = "oracle"', "judge.kind"),
        ('[news]\nfeeds = ["ftp://x"]', "news.feeds"),
        ("[news]\nnames = {BTC = 1}", "news.names"),
        ('[judge]\napi_key = "x"', "judge.api_key"),
    ],
)
def test_a_judge_that_lacks_something_is_refused(tmp_path, text, key):
    with pytest.raises(ConfigError, match=key):
        configured(tmp_path, text)
