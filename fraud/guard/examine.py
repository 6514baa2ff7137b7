"""All checks over one model's data, in the order of `CHECKS`. Pure."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from fraud.guard import answers, belief, feeds, shape, shares
from fraud.guard.data import GuardData
from fraud.guard.finding import CHECKS, Finding
from fraud.labels.exclusions import Exclusion
from fraud.settings.guard import Guard

Check = Callable[[GuardData, Guard], Iterator[Finding]]

_CHECKS: dict[str, Check] = {
    "silence": feeds.silent,
    "outcomes": feeds.unreported,
    "fraud_rate": feeds.swollen,
    "source_share": shares.by_source,
    "submitter_share": shares.by_submitter,
    "entity_share": shares.by_entity,
    "batch_size": shares.by_batch,
    "contradictions": answers.contradicting,
    "overturned": answers.overturned,
    "duplicates": answers.repeating,
    "traffic": shape.uneven,
    "missing_values": shape.emptied,
    "implausible_batch": belief.implausible,
    "implausible_submitter": belief.unbelieved,
    "near_certain": belief.disproved,
}


def examine(data: GuardData, rules: Guard) -> tuple[Finding, ...]:
    """Return what is wrong with the data, in the order of `CHECKS`; nothing for too little history."""
    return tuple(finding for name in CHECKS for finding in _CHECKS[name](data, rules))


@dataclass(frozen=True, slots=True)
class Ruling:
    """What findings come to: whether training may run, and without which data."""

    findings: tuple[Finding, ...]
    overridden: tuple[str, ...]

    @property
    def frozen(self) -> bool:
        """True when a finding keeps the model from training."""
        return bool(self.reasons)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why training may not run; where a check would drop but cannot, it freezes."""
        return tuple(
            f"{it.check}: {it.reason}"
            for it in self._standing()
            if it.action == "freeze" or (it.action == "drop" and it.suspect is None)
        )

    @property
    def dropped(self) -> tuple[tuple[str, Exclusion], ...]:
        """Data left out of training, each with the check that found it."""
        return tuple(
            (it.check, it.suspect)
            for it in self._standing()
            if it.action == "drop" and it.suspect is not None
        )

    def _standing(self) -> Iterator[Finding]:
        return (it for it in self.findings if it.check not in self.overridden)


def rule_on(findings: Sequence[Finding], overrides: Sequence[str]) -> Ruling:
    """Rule on findings when some checks are overridden; only checks that found something count."""
    found = {finding.check for finding in findings}
    return Ruling(tuple(findings), tuple(sorted(found.intersection(overrides))))
