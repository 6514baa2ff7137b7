"""Which page a caller asks for: the token of the page before, and how many rows."""

from typing import Final

from fraud.errors import InvalidInput

_DIGITS_MAX: Final = 18
"""Digits of a position; more than the log can ever hold, and still an int64."""
PAGE_SIZE: Final = 100
"""Rows of a page whose size is not asked for."""


def position_of(token: str) -> int:
    """Return the position that a page token names, 0 for the first page.

    Raises:
        InvalidInput: it is none that we gave.
    """
    if token and not is_number(token):
        shown = token if len(token) <= _DIGITS_MAX else f"{token[:_DIGITS_MAX]}…"
        raise InvalidInput("page_token", f"{shown!r} is none", "send the next_page_token of the page before")
    return int(token or 0)


def is_number(text: str) -> bool:
    """Tell whether a text is a plain number of a token: ASCII digits, and few.

    >>> [is_number(text) for text in ("7", "", "²", "-1", "9" * 19)]
    [True, False, False, False, False]
    """
    return text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX


def size_of(page_size: int, page_size_max: int) -> int:
    """Return the rows of a page, 1 to `page_size_max`; 0 asks for the usual number.

    Raises:
        InvalidInput: it is negative or above the limit.
    """
    if not 0 <= page_size <= page_size_max:
        raise InvalidInput(
            "page_size", f"is {page_size}", f"send 0 to {page_size_max} (server.page_size_max)"
        )
    return page_size or min(PAGE_SIZE, page_size_max)
