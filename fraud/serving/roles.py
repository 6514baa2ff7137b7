"""Roles, what each method asks for, and who is calling.

Beside each servicer stands a table, method → `Rule`. `Doorkeeper` refuses
whatever no table names; a test holds the tables against the proto files.

    scorer     payment systems: score, report outcomes, read a decision again (as bands)
    analyst    people and feeds that label: labels, block and allow lists, the queue of decisions
    operator   who runs the service: promotions, rollbacks, exclusions, retrains, rules, erasure
    auditor    reads everything that can be read, changes nothing
"""

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

from fraud.settings.access import ROLES

RAW_SCORES: Final = "raw_scores"
"""A right beside the roles: sees scores where the role alone would see bands."""
RIGHTS: Final = (*ROLES, RAW_SCORES)


@dataclass(frozen=True, slots=True)
class Rule:
    """Who may call a method: any of these roles. `rows` names the field that counts against a rate."""

    roles: frozenset[str]
    rows: str = ""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: an identity by name, with the roles of the credential it showed."""

    name: str
    roles: frozenset[str]
    raw_scores: bool


def rule(*roles: str, rows: str = "") -> Rule:
    """Return a rule for these roles.

    Raises:
        ValueError: one of them is no role.
    """
    unknown = set(roles) - set(ROLES)
    if unknown or not roles:
        raise ValueError(f"{', '.join(sorted(unknown)) or 'nobody'}: no role; there are {', '.join(ROLES)}")
    return Rule(frozenset(roles), rows)


ANYBODY: Final = rule(*ROLES)
"""Whoever has a role at all."""
READERS: Final = rule("analyst", "operator", "auditor")

_caller: ContextVar[Caller | None] = ContextVar("caller", default=None)


def calling() -> Caller | None:
    """Return who makes the call that this runs for; None where identities are off."""
    return _caller.get()


def name_of(caller: Caller | None) -> str | None:
    """Return under which name a caller's share is counted; None where identities are off."""
    return None if caller is None else caller.name


def call_is_by(caller: Caller) -> None:
    """Note who makes the call; each call runs in a context of its own."""
    _caller.set(caller)
