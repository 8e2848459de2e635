"""Time expressions: which spans of time a question speaks of.

Dates ("on 7 May, 2023", "in July", "March 2022"), years, and distances from now ("yesterday", "last
month", "3 weeks ago"). A day means the days beside it too: people are a day off, and zones are.

Rules
1. Pure: the present is an argument.
2. A month without a year means that month of every year the pages are from.
3. What is no date (30 February) is no span.
4. "may" and "march" without a day or year are months only where they are written like names.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

_MONTHS = (
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
)
_DATE = re.compile(
    rf"(?:(\d{{1,2}})(?:st|nd|rd|th)?(?: of)? )?\b({'|'.join(_MONTHS)})\b"
    r"(?: (\d{1,2})(?:st|nd|rd|th)?\b)?(?:,? (\d{4}))?",
    re.IGNORECASE,
)
_VERBS = ("may", "march")
_YEAR = re.compile(r"\b((?:19|20)\d\d)\b")
_AGO = re.compile(
    r"\b(yesterday|today|last (week|month|year)|(\d{1,6}) (day|week|month|year)s? ago)\b"
)
_DAYS = {"day": 1, "week": 7, "month": 30, "year": 365}
_TOLD_LATER = 0.5  # what happened then is often told a little later


class Span(NamedTuple):
    """From ``start_s`` up to ``stop_s``, in seconds since 1970."""

    start_s: float
    stop_s: float

    def fit(self, time_s: float) -> float:
        """How well a time fits: 1 inside, half up to ten days after, 0 elsewhere."""
        if self.start_s <= time_s < self.stop_s:
            return 1.0
        return _TOLD_LATER if self.stop_s <= time_s < self.stop_s + 10 * 86400 else 0.0


def spans_of(question: str, now_s: float, years: range) -> list[Span]:
    """The spans a question names. ``years``: those meant by a month without a year."""
    text = question.lower()
    spans = []
    for found in _DATE.finditer(question):
        day, month, day_after, year = found.groups()
        is_name = month[0].isupper() and found.start() > 0
        if month.lower() in _VERBS and not (is_name or day or day_after or year):
            continue  # rule 4
        for each in [int(year)] if year else years:
            spans += _days(each, _MONTHS.index(month.lower()) + 1, int(day or day_after or 0))
    if not spans:
        for year in _YEAR.findall(text):
            spans.append(_between(datetime(int(year), 1, 1), datetime(int(year) + 1, 1, 1)))
    now = datetime.fromtimestamp(now_s, UTC).replace(tzinfo=None)
    today = datetime(now.year, now.month, now.day)
    for whole, last, count, unit in _AGO.findall(text):
        width = _DAYS[last or unit or "day"]
        back = {"yesterday": 1, "today": 0}.get(whole, int(count or 1) * width)
        start = today - timedelta(days=min(back, 36500))
        spans.append(_between(start, start + timedelta(days=width)))
    return spans


def _days(year: int, month: int, day: int) -> list[Span]:
    """A month, or a day with those beside it; nothing if there is no such day."""
    try:
        first = datetime(year, month, day or 1)
        if day:
            return [_between(first - timedelta(days=1), first + timedelta(days=2))]
        return [_between(first, datetime(year + (month == 12), month % 12 + 1, 1))]
    except (ValueError, OverflowError):  # the second: beside the first or last day there is
        return []


def _between(start: datetime, stop: datetime) -> Span:
    return Span(start.replace(tzinfo=UTC).timestamp(), stop.replace(tzinfo=UTC).timestamp())
