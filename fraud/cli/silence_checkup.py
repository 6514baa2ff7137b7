"""What `fraud doctor` looks at of label delays: are frauds known before their silence teaches."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from fraud.cli.finding import Finding
from fraud.settings import Settings, format_duration

if TYPE_CHECKING:
    from fraud.training.history import History

LATE_SHARE_WARN: Final = 0.25
"""Of the frauds. With so many among the honest payments of its first days, an attack is learned at three
quarters of its strength; more is for whoever chose it, a little is the price of learning early."""
FRAUDS_MIN: Final = 30
"""Fewer say little of how labels come."""


def examine_silence(settings: Settings) -> Iterator[Finding]:
    """Yield a finding for each model where verdicts teach at once and something is archived.

    A few columns are read of some weeks of the archive, and no features.
    """
    from fraud.training.silence import silence_us

    silent_us = silence_us(settings)
    if silent_us is None or not settings.places.ledger.exists():
        return
    from fraud.report.folder import Folder

    folder = Folder.open(settings)
    if not folder.archive.position():
        return
    with folder.archive.reading():
        history = folder.history_now()
        for model in settings.models:
            yield _finding(settings, history, model, silent_us)


def _finding(settings: Settings, history: "History", model: str, silent_us: int) -> Finding:
    from fraud.training.silence import lateness

    name, found, after = "label delay", lateness(history, model, silent_us), format_duration(silent_us)
    if found.frauds < FRAUDS_MIN:
        return Finding(name, "ok", f"model {model}: {found.frauds} matured frauds say too little of it yet")
    text = (
        f"model {model}: {found.late} of the newest {found.frauds} matured frauds became known later than "
        f"{after} after the payment"
    )
    if found.late <= LATE_SHARE_WARN * found.frauds:
        return Finding(name, "ok", text)
    matures = settings.labels.maturity <= silent_us
    key = "labels.maturity" if matures else "training.fresh.silence"
    return Finding(
        name,
        "warn",
        f"{text}, and taught as legitimate until then",
        f"raise {key} above most label delays (fraud status shows them by source), or have labels sooner",
    )
