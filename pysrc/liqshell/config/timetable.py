"""[hours] and [blackout]: when entries are allowed by the clock, as settings of a run.

    [hours]                                   [blackout]
    utc = "13-18"                             lead_s = 300
    weekdays = "mon-fri"                      files = ["maintenance.csv", "news.ics"]
                                              windows = [{start = 2026-03-18T17:30:00Z, end = 2026-03-18T20:00:00Z, reason = "rate decision"}]

Both are off unless they are written. They close entries only: resting orders may still fill, and exits continue. The files are read once, when
the settings of a run are made; the windows themselves go into the recording, so that it can be run again alone.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import liqcore as lc
from liqcore.timetable import WINDOWS_MAX
from liqshell.config.sections import venue_named
from liqshell.errors import DataError
from liqshell.fields import Complaint, Rule, matching, names, number, paths, shown, timestamp
from liqshell.input_file import regular
from liqshell.venues.adapters import NAMES, is_known

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
ALWAYS = "all"
COLUMNS = ("start", "end", "reason", "venue")
EVENT_COLUMNS = ("name", "at", "tz", "before_s", "after_s")
EVENT_S_MAX = 604_800.0
FILE_BYTES_MAX = 16 << 20
_time = timestamp().metadata["rule"].read
_WHEN = "a time such as 2026-03-18T18:00:00Z (UTC)"


@dataclass(frozen=True)
class Span:
    """No entries in [start, end), ns UTC. venue: of its contracts only, "" = of all."""

    start: int
    end: int
    reason: str = ""
    venue: str = ""


def _spread(one: str, names: Sequence[str], closed: bool) -> list[int]:
    """Places of a range such as 13-18 or fri-mon, over the end where it goes back. closed: the last name belongs to it."""
    first, dash, last = one.strip().partition("-")
    if first not in names or dash and last not in (*names, *(() if closed else (str(len(names)),))):
        raise Complaint(f"ranges of {names[0]} to {names[-1]}, such as '{names[0]}-{names[-2]}'")
    start = names.index(first)
    end = start + 1 if not dash else (names.index(last) + 1 if closed else int(last))
    count = (end - start) % len(names) or len(names)
    return [(start + k) % len(names) for k in range(count)]


def places(value: str, names: Sequence[str], *, closed: bool) -> tuple[int, ...]:
    """The places that a text such as "13-18, 22-2" or "mon-fri" names, in order; () = all."""
    if value == ALWAYS:
        return ()
    out = sorted({place for one in value.split(",") for place in _spread(one, names, closed)})
    return () if len(out) == len(names) else tuple(out)


def _ranges(names: Sequence[str], closed: bool, what: str) -> Any:
    def read(value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError
        found = value.replace(" ", "").lower()
        places(found, names, closed=closed)
        return found

    name = "|".join("".join(f"[{letter}{letter.upper()}]" if letter.isalpha() else letter for letter in each) for each in names)
    one = f"({name})( *- *({name}{'' if closed else f'|{len(names)}'}))?"
    return dataclasses.field(default=ALWAYS, metadata={"rule": Rule(what, read, matching(f" *({ALWAYS}|{one}( *, *{one})*) *"))})


@dataclass(frozen=True)
class HoursConfig:
    """utc: hours of the UTC day in which entries are allowed, such as "13-18" (from 13:00 until before 18:00) or "22-2, 8-12". weekdays: the days,
    both ends included. "all" = no such limit."""

    utc: str = _ranges([str(n) for n in range(24)], False, "hours of the UTC day such as '13-18' or '22-2, 8-12', or 'all'")
    weekdays: str = _ranges(DAYS, True, "days such as 'mon-fri' or 'mon, wed', or 'all'")


def _window(row: Any) -> Span:
    if not isinstance(row, Mapping) or not {"start", "end"} <= row.keys() <= {*COLUMNS}:
        raise Complaint('tables {start = …, end = …, reason = "…", venue = "…"}, the last two optional')
    try:
        start, end = _time(row["start"]), _time(row["end"])
    except (ValueError, TypeError):
        raise Complaint(f"start and end to be {_WHEN}; found {shown(row['start'])} and {shown(row['end'])}") from None
    return _checked(start, end, row.get("reason", ""), row.get("venue", ""))


def _checked(start: int, end: int, reason: Any, venue: Any) -> Span:
    if not start < end:
        raise Complaint("the end after the start")
    if not isinstance(reason, str) or len(reason) > 200 or not reason.isprintable():
        raise Complaint("a reason of at most 200 printable letters")
    if venue and not is_known(venue):
        raise Complaint(f"a venue of {', '.join(NAMES)}, or none; found {shown(venue)}")
    return Span(start, end, reason, venue and venue_named(venue))


def _windows() -> Any:
    def read(value: Any) -> tuple[Span, ...]:
        if not isinstance(value, list) or len(value) > WINDOWS_MAX:
            raise ValueError
        return tuple(map(_window, value))

    time = {"type": "string"}  # as editors show TOML's dates
    one = {
        "type": "object",
        "required": ["start", "end"],
        "additionalProperties": False,
        "properties": {"start": time, "end": time, "reason": {"type": "string", "pattern": "^.{0,200}$"}, "venue": {"enum": ["", *NAMES]}},
    }
    schema = {"type": "array", "maxItems": WINDOWS_MAX, "items": one}
    return dataclasses.field(default=(), metadata={"rule": Rule(f"a list of at most {WINDOWS_MAX:,} tables with start and end", read, schema)})


@dataclass(frozen=True)
class BlackoutConfig:
    """windows: no entries from start until before end (UTC), with the reason for the report. files: more of them, in CSV (columns start, end, reason,
    venue), as named events (columns name, at, tz, before_s, after_s) or in iCalendar, relative to this file. calendars: those
    that ship: "fomc". lead_s: every window begins so much earlier, for orders that rest meanwhile."""

    windows: tuple[Span, ...] = _windows()
    files: tuple[str, ...] = paths(100)
    calendars: tuple[str, ...] = names("fomc", "calendars that ship: 'fomc'", most=1)
    lead_s: float = number(0.0, 0.0, 604_800.0, "seconds")


def timetable_settings(hours: HoursConfig, blackout: BlackoutConfig, instruments: Sequence[lc.Instrument]) -> dict[str, Any]:
    """settings["timetable"]: hours and weekdays (numbers), windows ([start, end, instrument, reason]); {} where nothing is ever closed."""
    lead = round(blackout.lead_s * lc.SECOND)
    rows: list[list[Any]] = []
    for span in [*blackout.windows, *(span for _, spans in _calendars(blackout) for span in spans)]:
        # of a venue, where it is not the only one, each contract has a window of its own
        whose = [n for n, i in enumerate(instruments) if i.venue == span.venue] if span.venue else []
        for n in [-1] if not span.venue or len(whose) == len(instruments) else whose:
            rows.append([max(span.start - lead, 0), span.end, n, span.reason])
    if len(rows) > WINDOWS_MAX:
        raise DataError("[blackout]", f"{len(rows):,} windows (one a contract, where they are of one venue of several)", f"at most {WINDOWS_MAX:,}")
    found = {
        "hours": list(places(hours.utc, [str(n) for n in range(24)], closed=False)),
        "weekdays": list(places(hours.weekdays, DAYS, closed=True)),
        "windows": rows,
    }
    return found if any(found.values()) else {}


def make_timetable(values: Mapping[str, Any]) -> lc.Timetable:
    """From settings["timetable"]."""
    return lc.Timetable(
        hours=tuple(values.get("hours", ())),
        weekdays=tuple(values.get("weekdays", ())),
        windows=[(start, end, n) for start, end, n, _ in values.get("windows", ())],
    )


def describe_hours(values: Mapping[str, Any]) -> str:
    """A timetable in words, '' where there is none."""
    out = []
    if hours := values.get("hours"):
        out.append("entries in the hours " + ", ".join(f"{hour:02d}" for hour in hours) + " UTC only")
    if days := values.get("weekdays"):
        out.append("on " + ", ".join(DAYS[day] for day in days) + " only")
    if windows := values.get("windows"):
        out.append(f"none in {len(windows):,} blackout window{'s' if len(windows) > 1 else ''}")
    return ", ".join(out)


def _calendars(blackout: BlackoutConfig) -> list[tuple[str, list[Span]]]:
    """(name, windows) of each calendar that ships and is named, and of each file."""
    shipped = [
        (name, _table(f"{name}.csv", (resources.files("liqshell.config") / f"{name}.csv").read_text(encoding="utf-8"))) for name in blackout.calendars
    ]
    return [*shipped, *((file, read_windows(file)) for file in blackout.files)]


def ends(blackout: BlackoutConfig) -> list[tuple[str, int]]:
    """(name, end of the last window, ns UTC) of each calendar; 0 where it has none."""
    return [(name, max((span.end for span in spans), default=0)) for name, spans in _calendars(blackout)]


# ---- files ----


def read_windows(file: str | Path) -> list[Span]:
    """The windows of a CSV or an iCalendar file. DataError names file, line, what was found and what was expected."""
    path = Path(file)
    try:
        raw = regular(path, "a CSV or iCalendar file").read_bytes() if path.stat().st_size <= FILE_BYTES_MAX else b""
        content = raw.decode("utf-8-sig")
    except OSError as why:
        raise DataError(str(file), f"cannot be read: {why.strerror or why}", "a CSV or iCalendar file", "Correct [blackout] files") from None
    except UnicodeDecodeError:
        raise DataError(str(file), "not UTF-8", "a CSV or iCalendar file in UTF-8") from None
    if not raw:
        raise DataError(str(file), "empty, or larger than 16 MB", "a CSV or iCalendar file")
    return _calendar(str(file), content) if content.lstrip().upper().startswith("BEGIN:VCALENDAR") else _table(str(file), content)


def _span(where: str, row: Mapping[str, Any]) -> Span:
    try:
        return _window(row)
    except Complaint as why:
        raise DataError(where, f"start {shown(row.get('start'))}, end {shown(row.get('end'))}", str(why)) from None


def _table(file: str, content: str) -> list[Span]:
    reader = csv.reader(io.StringIO(content))
    header = [name.strip().lower() for name in next(reader, [])]
    named = {"name", "at"} <= set(header) <= {*EVENT_COLUMNS}
    if not named and not {"start", "end"} <= set(header) <= {*COLUMNS}:
        raise DataError(
            f"{file}:1",
            f"the columns {', '.join(header) or 'none'}",
            f"start, end and optionally {', '.join(COLUMNS[2:])}; or name, at and optionally {', '.join(EVENT_COLUMNS[2:])}",
        )
    out = []
    for row in reader:
        where = f"{file}:{reader.line_num}"
        if not any(cell.strip() for cell in row):
            continue
        if len(row) != len(header):
            raise DataError(where, f"{len(row)} cells", f"{len(header)}, as in the header")
        found = {name: cell.strip() for name, cell in zip(header, row, strict=True)}
        out.append(_event(where, found) if named else _span(where, found))
    return out


def _event(where: str, row: Mapping[str, str]) -> Span:
    """A named event at a local time: its window by the zone's own rules, so that summer time is where it is."""
    try:
        zone = ZoneInfo(row.get("tz") or "UTC")
        at = datetime.fromisoformat(row["at"])
        before, after = (float(row.get(name) or usual) for name, usual in (("before_s", 1800), ("after_s", 5400)))
    except (ValueError, KeyError, ZoneInfoNotFoundError, OSError):
        raise DataError(
            where,
            f"at {shown(row['at'])}, tz {shown(row.get('tz', ''))}",
            "a local time such as 2026-12-09T14:00, a zone such as America/New_York, and seconds before_s and after_s",
        ) from None
    if not row["name"] or not (0 <= before <= EVENT_S_MAX and 0 <= after <= EVENT_S_MAX):
        raise DataError(where, f"name {shown(row['name'])}, before_s {before:g}, after_s {after:g}", "a name, and seconds from 0 to 604800")
    if at.tzinfo and row.get("tz") and at.utcoffset() != at.astimezone(zone).utcoffset():
        raise DataError(where, f"at {shown(row['at'])} with an offset that tz {shown(row['tz'])} does not have", "a local time without an offset")
    # in autumn a local time comes twice, and is meant once or the other time
    both = sorted((at if at.tzinfo else at.replace(tzinfo=zone, fold=fold)).astimezone(UTC) for fold in (0, 1))
    try:
        span = {"start": both[0] - timedelta(seconds=before), "end": both[1] + timedelta(seconds=after), "reason": row["name"]}
    except OverflowError:
        raise DataError(where, f"at {shown(row['at'])}", _WHEN) from None
    return _span(where, span)


def _calendar(file: str, content: str) -> list[Span]:
    """The events of an iCalendar file (RFC 5545) whose times are UTC or whole days. One that repeats is refused: it would be read as one event."""
    out: list[Span] = []
    event: dict[str, Any] | None = None
    for n, line in enumerate(re.sub(r"\r?\n[ \t]", "", content).splitlines(), 1):
        name, _, value = line.partition(":")
        key, where = name.partition(";")[0].upper(), f"{file}: entry {n} (long lines counted as one)"
        if line.upper().startswith("BEGIN:VEVENT"):
            event = {"reason": ""}
        elif event is None:
            continue
        elif line.upper().startswith("END:VEVENT"):
            if not {"start", "end"} <= event.keys():
                raise DataError(where, "an event without DTSTART or DTEND", "both")
            out.append(_span(where, event))
            event = None
        elif key in ("DTSTART", "DTEND"):
            event["start" if key == "DTSTART" else "end"] = _stamp(where, name, value)
        elif key == "SUMMARY":
            event["reason"] = re.sub(r"\\(.)", r"\1", value)[:200].strip()
        elif key in ("RRULE", "RDATE"):
            raise DataError(where, f"{key}: a repeated event", "single events", "Export the calendar with each repetition as its own event")
    return out


def _stamp(where: str, name: str, value: str) -> datetime:
    for form in ("%Y%m%dT%H%M%SZ", *(("%Y%m%d",) if "TZID" not in name.upper() else ())):
        try:
            return datetime.strptime(value.strip(), form).replace(tzinfo=UTC)
        except ValueError:
            continue
    raise DataError(
        where, f"found {shown(f'{name}:{value}')}", "a time in UTC such as 20260318T180000Z, or a day such as 20260318", "Export the calendar in UTC"
    )
