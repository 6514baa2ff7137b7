"""Reads lists that come in pages."""

from collections.abc import Callable
from typing import TypeVar

Page = TypeVar("Page")
Row = TypeVar("Row")


def rows_of_pages(
    ask: Callable[[str], Page], read: Callable[[Page], tuple[list[Row], str]], limit: int
) -> list[Row]:
    """Return at most `limit` rows, page by page.

    `ask(token)` returns the page of a token, "" for the first; `read(page)` its
    rows and the token of the next one, "" after the last.
    """
    found: list[Row] = []
    token = ""
    while len(found) < limit:
        rows, token = read(ask(token))
        found += rows
        if not token:
            break
    return found[:limit]


def first_of_pages(
    ask: Callable[[str], Page], read: Callable[[Page], tuple[list[Row], str]], limit: int
) -> tuple[list[Row], bool]:
    """Return rows as `rows_of_pages` does, and whether there are more of them."""
    found = rows_of_pages(ask, read, limit + 1)
    return found[:limit], len(found) > limit
