"""A limit of time for what is awaited."""

import asyncio


class TooLate(Exception):
    """The time is over, and what was awaited is cancelled."""


async def within(seconds: float, awaitable):
    """What `awaitable` returns.

    Raises:
        TooLate: it took longer than `seconds`.
    """
    try:
        return await asyncio.wait_for(awaitable, seconds)
    # In Python 3.10 this is not yet the built-in exception of that name.
    except asyncio.TimeoutError:  # noqa: UP041
        raise TooLate from None
