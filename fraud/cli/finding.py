"""What a check of `fraud doctor` has found."""

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check; `remedy` says what to do unless all is well."""

    check: str
    state: State
    text: str
    remedy: str = ""
