"""A driver that tells the time, for an agent that chooses among drivers. Programs have ``now``."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

from nlpu.label import SYSTEM
from nlpu.runtime.drivers.driver import Driver, driver


def clock(date_s: Callable[[], float] = time.time) -> Driver:
    """A driver that tells the time. ``date_s``: seconds since 1970."""

    @driver(effect="read", brings=SYSTEM)
    def tell_time() -> str:
        """Tell the date and time (UTC) and the day of the week."""
        moment = datetime.fromtimestamp(date_s(), UTC)
        return f"{moment:%Y-%m-%d %H:%M:%S} UTC, {moment:%A}"

    return tell_time
