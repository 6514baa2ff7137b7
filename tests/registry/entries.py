"""Ledger entries for tests."""

from typing import Any

from fraud.labels.exclusions import EVERYTHING, Exclusion, View
from fraud.registry import LedgerEntry, LedgerStore


def registered(version: str, attempt: int = 1, parent: str = "") -> dict[str, Any]:
    """Return the body of a VersionRegistered."""
    return {
        "version": version,
        "model": version.rpartition("-")[0],
        "recipe": "full",
        "digest": f"digest-{version}",
        "parent": parent,
        "attempt": attempt,
        "challengers": 2,
        "cut_position": 100,
        "cut_time_us": 1_000,
        "manifest": {"rows": 7},
    }


def verdict(version: str, answer: str, against: str = "") -> dict[str, Any]:
    """Return the body of a VerdictGiven."""
    return {
        "version": version,
        "model": version.rpartition("-")[0],
        "verdict": answer,
        "way": "superiority",
        "against": against,
        "report": {"checks": []},
    }


def read_from(position: int, view: View = EVERYTHING) -> dict[str, Any]:
    """Return what a VerdictGiven says of what it was read from: up to a position, through a view."""
    return {"evidence": {"cut": {"position": position, "time_us": position}, "view": view.to_text()}}


def hiding(data: Exclusion, first_position: int, *, muted: bool = False) -> dict[str, Any]:
    """Return the body of a DataExcluded; the first of the data stands at a position of the log."""
    return {
        "exclusion": data.to_dict(),
        "first_position": first_position,
        "labels": 1,
        "transactions": 0,
        "muted": muted,
        "retrain": False,
    }


def add(store: LedgerStore, kind: str, body: dict[str, Any], time_us: int = 0) -> LedgerEntry:
    """Append an entry by an unimportant actor."""
    return store.append(kind, body, actor="ann", reason="test", time_us=time_us)
