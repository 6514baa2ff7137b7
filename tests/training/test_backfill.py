"""A feature that is added later is folded anew for the rows from before, as if it had been there."""

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
import pytest

from fraud.archive import Archive
from fraud.features.fold import Coordinates, FeatureFold
from fraud.features.replay import replay
from fraud.labels.standing import ConflictRule
from fraud.records import Entry
from fraud.serving.recovery import entries_after
from fraud.serving.server import ScoringProcess
from fraud.training.history import Cut, History
from tests.serving.test_appended_fields import NUMERIC, WINDOW, Past, changed, past, score
from tests.serving.test_exploring import inside
from tests.serving.worlds import Stream

__all__ = ["past"]
LOGGED_BEFORE = 40


class Unfolded(Archive):
    """An archive of which nothing may be folded."""

    def feedback(self, after: int, upto: int) -> list[Entry]:
        raise AssertionError(f"positions {after + 1} to {upto} are folded")


def nothing_labelled(transaction_ids: Sequence[str]) -> Mapping[str, Coordinates]:
    raise AssertionError(f"there is no label on {transaction_ids}")


def history_of(process: ScoringProcess, archive: Archive) -> History:
    cut = Cut(archive.copy_from(process.log), process.log.last_arrival_us())
    return History(archive, process.spec, process.settings, cut)


def test_rows_from_before_a_feature_have_it_as_if_it_had_always_been_there(past: Past) -> None:
    settings = changed(past.folder, [NUMERIC, WINDOW])

    async def body(process: ScoringProcess) -> None:
        await score(process, Stream(seed=97).take(10))
        history = history_of(process, process.archive)
        rows = history.transactions("card").sort("position").collect()
        names = [f"f_{name}" for name in process.spec.names]
        found = np.ascontiguousarray(rows.select(names).to_numpy())
        fold = FeatureFold(process.spec, ConflictRule.of(settings.labels))
        entries = list(entries_after(process.log, process.archive, 0, process.log.head()))
        runs = list(replay(fold, entries, nothing_labelled))
        expected = np.concatenate([features for _, features in runs])
        assert rows["position"].to_list() == [entry.position for run, _ in runs for entry in run]
        assert np.array_equal(found.view("<u4"), expected.view("<u4"))
        later = rows.head(LOGGED_BEFORE)["f_card_count_14d"]
        assert (later.null_count(), later.is_nan().sum()) == (0, 0)
        assert later.gt(0).any()
        logged = history.transactions("card", with_features=False).sort("position").collect()
        assert logged["f_card_count_14d"].null_count() == LOGGED_BEFORE
        for name in ("f_card_count_7d", "f_card_declined_count_1d", "f_merchant_fraud_rate_7d_delay_1d"):
            assert rows[name].equals(logged[name])

    inside(settings, body)


@pytest.mark.parametrize("changes", [[NUMERIC], [WINDOW]])
def test_nothing_is_folded_for_rows_that_lack_nothing(past: Past, changes: list[tuple[str, str]]) -> None:
    """A numeric field that was not there yet was not given; of other features the newer rows lack none."""
    settings = changed(past.folder, changes)

    async def body(process: ScoringProcess) -> None:
        answers = await score(process, Stream(seed=98).take(10))
        archive = Unfolded(settings.places.archive, settings.schema_, process.spec.definitions)
        history = history_of(process, archive)
        since = pl.col("position") > (LOGGED_BEFORE + 1 if changes == [WINDOW] else 0)
        newest = history.transactions("card", since).collect()
        assert len(newest) >= len(answers)
        if changes == [WINDOW]:
            with pytest.raises(AssertionError, match="positions 1 to"):
                history.transactions("card").collect()

    inside(settings, body)
