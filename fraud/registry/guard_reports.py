"""What the guard said of each model's data, as the ledger keeps it: the latest report a model.

    GuardReported   request_seq model cut_position cut_time_us findings frozen
                    dropped [{check, exclusion}] overridden [check]

Data is fit up to the cut of the last report that froze nothing; what came in
since is judged again until somebody mends it or passes over it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from fraud.labels.exclusions import Exclusion
from fraud.registry.chain import LedgerEntry

if TYPE_CHECKING:
    from fraud.registry.ledger import RegistryState


@dataclass(frozen=True, slots=True)
class GuardReport:
    """One judgement of one model's data, made in entry `seq`.

    `dropped` pairs each exclusion with the check that asked for it; `fit_until_us`
    is up to when the data was last found fit, 0 for never.
    """

    seq: int
    time_us: int
    model: str
    cut_position: int
    findings: tuple[Mapping[str, Any], ...]
    frozen: bool
    dropped: tuple[tuple[str, Exclusion], ...]
    overridden: tuple[str, ...]
    fit_until_us: int

    @classmethod
    def of(cls, body: Mapping[str, Any], former: Self | None, seq: int, time_us: int) -> Self:
        """Read the body of a GuardReported that follows `former`."""
        kept_us = 0 if former is None else former.fit_until_us
        return cls(
            seq,
            time_us,
            body["model"],
            body["cut_position"],
            tuple(body["findings"]),
            body["frozen"],
            tuple((it["check"], Exclusion.from_dict(it["exclusion"])) for it in body["dropped"]),
            tuple(body["overridden"]),
            kept_us if body["frozen"] else body["cut_time_us"],
        )


def guard_reported(state: "RegistryState", entry: LedgerEntry) -> None:
    """Take a GuardReported."""
    model = entry.body["model"]
    former = state.guard_reports.get(model)
    state.guard_reports[model] = GuardReport.of(entry.body, former, entry.seq, entry.time_us)
