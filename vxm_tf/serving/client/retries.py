"""Trying again, later and later, what a busy or restarting server may do yet."""

import email.utils
import math
import random
import time
import warnings

FIRST_SECONDS, LONGEST_SECONDS = 0.5, 60.0
# Twice as long as we would wait ourselves: a server that wants more is down, not busy.
LONGEST_RETRY_AFTER = 120.0


def delay_seconds(attempt: int, retry_after: str | None = None) -> float:
    """How long to wait before attempt `attempt + 1`.

    It doubles from attempt to attempt, and half of it is random, so that many clients do not come back at once.

    Args:
        attempt: number of those that failed, from 1.
        retry_after: the header of that name, in seconds or as a date.
    """
    most = min(LONGEST_SECONDS, FIRST_SECONDS * 2 ** min(attempt - 1, 16))
    own = most * random.uniform(0.5, 1.0)
    asked = min(_seconds(retry_after), LONGEST_RETRY_AFTER)
    return asked + own / 4 if asked else own


def _seconds(retry_after):
    try:
        seconds = float(retry_after)
        return max(seconds, 0.0) if math.isfinite(seconds) else 0.0
    except (TypeError, ValueError):
        pass
    try:
        return max(email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time(), 0.0)
    except (TypeError, ValueError):
        return 0.0


def wait(attempt: int, retries: int, reason: str, retry_after: str | None = None):
    """Warn of an attempt that failed and sleep until the next."""
    seconds = delay_seconds(attempt, retry_after)
    warnings.warn(f"{reason} Retry {attempt} of {retries} in {seconds:.1f} s.", stacklevel=1)
    time.sleep(seconds)
