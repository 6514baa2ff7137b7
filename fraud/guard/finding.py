"""What the guard found: one row a finding, with the part of the data that is suspect."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, Self

from fraud.errors import InvalidInput
from fraud.labels.exclusions import Exclusion
from fraud.settings.guard import Action

CHECKS = {
    "silence": "fraud labels of a source are short of its delay curve",
    "outcomes": "payment outcomes are short of what traffic promises",
    "fraud_rate": "more fraud labels than before",
    "source_share": "a source gives more of the frauds than it used to",
    "submitter_share": "a submitter gives more of the frauds than it used to",
    "entity_share": "one entity gives much of the frauds",
    "batch_size": "a batch brings more frauds than usual",
    "contradictions": "labels contradict earlier ones",
    "overturned": "better sources call fraud what a submitter cleared",
    "duplicates": "a batch repeats earlier labels",
    "traffic": "gaps or jumps in traffic",
    "missing_values": "a field is missing more often",
    "implausible_batch": "models do not believe a batch",
    "implausible_submitter": "models do not believe a submitter's frauds",
    "near_certain": "scores near 1 turn out legitimate",
}
"""Every check by name, as settings, overrides and metrics spell it."""

Effect = Literal["freeze", "drop", "note"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with the data.

    `subject` says of what (a source, a batch, a field); `value` is the figure
    that reached `bound`. `suspect` is what to leave out to be rid of it, None
    where nothing can be left out.
    """

    check: str
    subject: str
    value: float
    bound: float
    reason: str
    action: Effect
    suspect: Exclusion | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the finding as JSON values."""
        return {
            "check": self.check,
            "subject": self.subject,
            "value": round(self.value, 6),
            "bound": self.bound,
            "reason": self.reason,
            "action": self.action,
            "suspect": None if self.suspect is None else self.suspect.to_dict(),
        }

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Self:
        """Read what `to_dict` wrote."""
        suspect = document["suspect"]
        return cls(**{**document, "suspect": None if suspect is None else Exclusion.from_dict(suspect)})


def effect_of(action: Action) -> Effect:
    """Return what a finding of a check does that is not off."""
    return "freeze" if action == "off" else action


def check_names(names: Iterable[str]) -> None:
    """Refuse names that no check has.

    Raises:
        InvalidInput: it names the checks there are.
    """
    unknown = [name for name in names if name not in CHECKS]
    if unknown:
        raise InvalidInput(
            "guard_overrides", f"no check {', '.join(unknown)}", f"name any of {', '.join(CHECKS)}"
        )
