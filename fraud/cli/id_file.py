"""Reads transaction ids: a CSV with a column `transaction_id`, or one id on each line."""

import csv
from pathlib import Path

from fraud.documents import read_bounded
from fraud.errors import InvalidInput

COLUMN = "transaction_id"


def read_ids(path: Path) -> list[str]:
    """Return the ids of a file in its order, each once; other columns and empty lines are passed over.

    Raises:
        InvalidInput: it cannot be read, is a table without the column, or holds no ids.
    """
    try:
        lines = read_bounded(path).decode("utf-8-sig").splitlines(keepends=True)
        header = next(csv.reader(lines[:1]), [])
        rows = list(csv.reader(lines[1:])) if COLUMN in header else []
    except (OSError, ValueError, csv.Error) as error:
        raise InvalidInput(str(path), f"cannot be read: {error}", "check the file") from None
    if COLUMN in header:
        place = header.index(COLUMN)
        found = [row[place] for row in rows if len(row) > place]
    elif len(header) > 1:
        raise InvalidInput(str(path), f"has no column {COLUMN}", "name it in the first line")
    else:
        found = lines
    ids = list(dict.fromkeys(each.strip() for each in found if each.strip()))
    if not ids:
        raise InvalidInput(str(path), "holds no transaction ids", "write at least one")
    return ids
