"""Waits longer and longer between attempts, for a server that is busy or restarts."""

import email.utils
import math
import random
import time
import warnings

FIRST_SECONDS, LONGEST_SECONDS = 0.5, 60.0
# Twice the longest wait without the header: a server that asks for more is down, not busy.
LONGEST_RETRY_AFTER = 120.0


def delay_seconds(attempt: int, retry_after: str | None = None) -> float:
    """Return the seconds to wait before attempt `attempt + 1`.

    The time doubles from attempt to attempt, and half of it is random, so that many clients do not come back at once.

    Args:
        attempt: number of attempts that have failed, from 1.
        retry_after: the server's header `Retry-After`, in seconds or as a date.
    """
    most = min(LONGEST_SECONDS, FIRST_SECONDS * 2 ** min(attempt - 1, 16))
    own = most * random.uniform(0.5, 1.0)
    asked = min(_seconds(retry_after), LONGEST_RETRY_AFTER)
    return asked + own / 4 if asked else own


def _seconds(retry_after: str | None) -> float:
    try:
        seconds = float(retry_after or "")
        return max(seconds, 0.0) if math.isfinite(seconds) else 0.0
    except (TypeError, ValueError):
        pass
    try:
        return max(email.utils.parsedate_to_datetime(retry_after or "").timestamp() - time.time(), 0.0)
    except (TypeError, ValueError):
        return 0.0


def wait(attempt: int, retries: int, reason: str, retry_after: str | None = None) -> None:
    """Warn of an attempt that failed and sleep until the next."""
    seconds = delay_seconds(attempt, retry_after)
    warnings.warn(f"{reason} Retry {attempt} of {retries} in {seconds:.1f} s.", stacklevel=1)
    time.sleep(seconds)
