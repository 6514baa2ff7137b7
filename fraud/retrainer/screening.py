"""Which transactions are fit to be sentinels: confirmed frauds, by the source that is trusted most.

ids ─► in the log or the archive? of the model? in no set yet?
─► labels that count (no retracted batch, no excluded data) ─► the verdict that stands:
FRAUD, by that source?
─► fit, or refused with the reason
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from fraud.archive.archive import Archive
from fraud.archive.columns import TransactionColumns, labels_frame, retractions_frame
from fraud.archive.headings import Headed
from fraud.archive.spans import READ_ENTRIES
from fraud.eventlog.log import EventLog
from fraud.features.spec import FeatureSpec
from fraud.labels.exclusions import View
from fraud.labels.standing import ConflictRule
from fraud.labels.table import standing_table
from fraud.records import LabelValue
from fraud.settings import Settings

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Refused:
    """A transaction that is not fit to be a sentinel, and why."""

    transaction_id: str
    why: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of some transactions.

    `transactions` has the archive's columns, `standing` those of
    `standing_table`; both hold the rows that count and may lack any of the ids.
    `excluded` are ids of transactions that an exclusion hides.
    """

    transactions: pl.DataFrame
    standing: pl.DataFrame
    excluded: frozenset[str] = frozenset()


def screen(
    ids: Sequence[str], facts: Facts, taken: Mapping[str, str], model: str, source: str
) -> tuple[list[str], list[Refused]]:
    """Part transactions into those fit to be sentinels of a model and those refused, both in order.

    `taken` names the pattern of ids that are sentinels already; `source` is the
    one that has to have confirmed the fraud.
    """
    models = dict(facts.transactions.select("transaction_id", "model").iter_rows())
    verdicts = {row[0]: row[1:] for row in facts.standing.select("transaction_id", "value", "source").rows()}
    fit, refused = [], []
    for each in ids:
        why = _why_not(each, models, verdicts, taken, model, source, each in facts.excluded)
        if why:
            refused.append(Refused(each, why))
        else:
            fit.append(each)
    return fit, refused


def _why_not(
    transaction_id: str,
    models: Mapping[str, str],
    verdicts: Mapping[str, tuple[int, str]],
    taken: Mapping[str, str],
    model: str,
    source: str,
    excluded: bool,
) -> str:
    of = models.get(transaction_id)
    value, said_by = verdicts.get(transaction_id, (0, ""))
    if of is None:
        return "no such transaction in the log or the archive"
    if of != model:
        return f"it is of model {of!r}"
    if transaction_id in taken:
        return f"it is a sentinel of {taken[transaction_id]!r} already"
    if excluded:
        return "it is among the transactions excluded from training"
    if not value:
        return "no label stands for it"
    if value != int(LabelValue.FRAUD):
        return f"{said_by} says it is legitimate"
    return "" if said_by == source else f"its fraud label comes from {said_by}, not from {source}"


def tell_nobody(done: int, total: int) -> None:
    """Take progress and leave it at that."""
    del done, total


def read_facts(
    settings: Settings,
    log: EventLog,
    archive: Archive,
    ids: Sequence[str],
    view: View,
    progress: Progress = tell_nobody,
) -> Facts:
    """Read what is known of transactions now: from the archive, and from the log behind it.

    `progress` is told how many entries behind the archive were read, and how many there are.
    """
    archived = archive.position()
    wanted = pl.col("transaction_id").is_in(list(ids))
    with archive.reading():
        labels = [archive.labels(archived).filter(wanted).collect()]
        retracted = [archive.retractions(archived).collect()]
    after, head = archived, log.head()
    while page := log.read(after, READ_ENTRIES):
        labels.append(labels_frame(page).filter(wanted))
        retracted.append(retractions_frame(page))
        after = page[-1].position
        progress(after - archived, max(head, after) - archived)
    taken_back = pl.col("batch_id").is_in(pl.concat(retracted)["batch_id"].to_list())
    counted = view.visible_labels(pl.concat(labels).lazy().filter(~taken_back))
    standing = standing_table(counted, ConflictRule.of(settings.labels)).collect()
    rows = _transactions(settings, log, archive, ids)
    visible = view.visible_transactions(rows.lazy()).select("transaction_id").collect()
    hidden = frozenset(rows["transaction_id"]) - frozenset(visible["transaction_id"])
    return Facts(rows, standing, hidden)


def _transactions(settings: Settings, log: EventLog, archive: Archive, ids: Sequence[str]) -> pl.DataFrame:
    """Read transactions from the archive, those that it lacks from the log; features by the names of now."""
    columns = TransactionColumns.of(settings.schema_, FeatureSpec.of(settings).names)
    archived = archive.find(ids)
    there = frozenset(archived["transaction_id"])
    held = log.find([each for each in ids if each not in there])
    logged = Headed(columns, log.headings()).frame(list(held.values()))
    return pl.concat([logged, archived], how="diagonal").select(list(columns.types))
