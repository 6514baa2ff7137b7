"""What rules see live is what a trial reads from the archive, to the bit."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from fraud.features.spec import FeatureSpec
from fraud.policy.rule_columns import RuleColumns, RuleRows
from fraud.records import Scored
from fraud.serving.logged_features import features_of
from fraud.serving.server import ScoringProcess
from fraud.settings import load_settings
from tests.retrainer.test_rule_trials import archived
from tests.serving.test_exploring import exploring, inside, score
from tests.serving.worlds import Stream, settings_in


def test_every_column_reads_the_same_live_and_from_the_archive(tmp_path: Path) -> None:
    settings = exploring(tmp_path)
    spec = FeatureSpec.of(settings)
    columns = RuleColumns.of(spec, settings.schema_)
    names = [name for name in columns.names("after") if name != "outcome"]

    async def body(process: ScoringProcess) -> None:
        await score(process, Stream(seed=51), 40)
        events = [it.event for it in process.log.read(0, 1_000)]
        scored = [event for event in events if isinstance(event, Scored)]
        scores = np.array([event.decision.score for event in scored], np.float64)
        risks = np.array([event.decision.risk_score for event in scored], np.int64)
        outcomes = np.array([int(event.decision.outcome) for event in scored])
        live = columns.frame(
            names, RuleRows(scored, features_of(scored, len(spec.names)), scores, risks, outcomes)
        )
        table = archived(settings, process).transactions("card", with_features=False).sort("position")
        read = table.select(it for name in names if (it := columns.archived(name)) is not None).collect()
        assert live.equals(read, null_equal=True)
        assert live.schema == pl.Schema(columns.schema(names))
        assert {"amount", "distance", "channel", "card_count_1h", "night"} <= set(names)
        assert live["distance"].null_count() > 0, "what is missing is NULL"
        assert not live["amount"].is_nan().any()
        assert live["amount"][0] == scored[0].amount_base_minor / 100

    inside(settings, body)


@pytest.mark.parametrize("field", ["score", "amount", "currency"])
def test_a_field_named_like_something_else_cannot_be_used(tmp_path: Path, field: str) -> None:
    settings_in(tmp_path)
    path = tmp_path / "fraud.toml"
    text = path.read_text(encoding="utf-8").replace(
        "[schema.categorical.channel]", f"[schema.categorical.{field}]"
    )
    path.write_text(text, encoding="utf-8")
    settings = load_settings(path, {})
    columns = RuleColumns.of(FeatureSpec.of(settings), settings.schema_)
    assert columns.ambiguous == {field}
    assert field not in columns.names("after")


def test_only_after_the_score_there_is_one(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    columns = RuleColumns.of(FeatureSpec.of(settings), settings.schema_)
    assert set(columns.names("after")) - set(columns.names("before")) == {"score", "risk_score", "outcome"}
