"""Fields and features are appended to a service that has decided before: it starts, and knows its answers."""

import json
import operator
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fraud.cli.main import run
from fraud.errors import ConfigError, Conflict, FraudError
from fraud.eventlog.codec import encode
from fraud.features.spec import FeatureSpec
from fraud.records import Scored
from fraud.serving.batcher import Answer
from fraud.serving.champions import Champion, make_champion
from fraud.serving.intake import TransactionIntake
from fraud.serving.logged_features import LoggedFeatures
from fraud.serving.rollback import RollbackOrder, recent
from fraud.serving.server import ScoringProcess
from fraud.serving.shadowing import decided_by_others
from fraud.settings import Settings, load_settings
from fraud.settings.model import Policy, Target
from fraud.upkeep.backup import back_up
from fraud.upkeep.restoring import restore
from fraud.v1.transaction_pb2 import Transaction
from tests.bundle.made import made_bundle
from tests.serving.registered import Ledger
from tests.serving.test_exploring import inside
from tests.serving.test_follower import crown
from tests.serving.test_shadows import crown as crown_on_probation
from tests.serving.worlds import START_US, Stream, settings_in

DECLINES_ALL = Policy(review=None, decline=Target(score=1e-9))
CATEGORICAL = ("[features]\n", "[schema.categorical.country]\n[features]\n")
NUMERIC = ("[schema.categorical.channel]\n", "[schema.numeric.age]\n[schema.categorical.channel]\n")
WINDOW = ('windows = ["1h", "24h", "7d"]', 'windows = ["1h", "24h", "7d", "14d"]')
GONE = ('windows = ["1h", "24h", "7d"]', 'windows = ["24h", "7d"]')
OTHER_WINDOW = (WINDOW[0], 'windows = ["1h", "24h", "14d"]')
OTHER_MEANING = ("small_amount_minor = 2000", "small_amount_minor = 3000")
MOVED = ("[schema.categorical.channel]\n", "[schema.categorical.country]\n[schema.categorical.channel]\n")
CHANGES = {
    "a categorical": [CATEGORICAL],
    "a numeric": [NUMERIC],
    "both and a window": [NUMERIC, CATEGORICAL, WINDOW],
    "another window": [OTHER_WINDOW],
    "another meaning": [OTHER_MEANING],
}


OF_14_DAYS = {
    f"card_{it}_14d"
    for it in ("count", "sum", "mean", "max", "std", "amount_over_mean", "small_count", "declined_count")
} | {"card_distinct_merchant_14d"}
NEW = {
    "a categorical": set[str](),
    "a numeric": {"age"},
    "both and a window": {"age"} | OF_14_DAYS,
    "another window": OF_14_DAYS,
    "another meaning": {f"card_small_count_{window}" for window in ("1h", "1d", "7d")},
}
"""Features that rows of before lack."""


def changed(folder: Path, changes: Sequence[tuple[str, str]]) -> Settings:
    path = folder / "fraud.toml"
    text = path.read_text()
    for before, after in changes:
        assert text.count(before) == 1
        text = text.replace(before, after)
    path.write_text(text)
    return load_settings(path, {})


async def score(process: ScoringProcess, wires: Sequence[Transaction]) -> list[Answer | FraudError]:
    read = TransactionIntake(process.settings).read
    rows = tuple(read(wire, 2**61) for wire in wires)
    return await process.batcher.score(rows, with_reasons=True)


def stored(answers: Sequence[Answer | FraudError]) -> list[Scored]:
    for answer in answers:
        assert isinstance(answer, Answer), answer
    return [answer.scored for answer in answers if isinstance(answer, Answer)]


def logged(answers: Sequence[Answer | FraudError]) -> list[bytes]:
    """What the log holds of them; a number not given is NaN, which equals nothing."""
    return [encode(row)[1] for row in stored(answers)]


def codes(answers: Sequence[Answer | FraudError]) -> set[str]:
    return {why.code for answer in answers if isinstance(answer, Answer) for why in answer.reasons}


class Past:
    """A service that declined 40 payments, 30 of them archived, and wrote a snapshot of the first 10."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = settings_in(folder)
        self.ledger = Ledger(folder)
        self.ledger.register("card-1", upto=0, policy=DECLINES_ALL)
        crown(self.ledger, "card-1")
        self.wires = Stream(seed=91).take(40)
        self.answers: list[Answer | FraudError] = []
        inside(self.settings, self._decide)

    async def _decide(self, process: ScoringProcess) -> None:
        self.answers += await score(process, self.wires[:10])
        process.keeper.snapshot_now()
        self.answers += await score(process, self.wires[10:])
        process.archive.copy_from(process.log, upto=31)


@pytest.fixture
def past(tmp_path: Path) -> Past:
    return Past(tmp_path)


@pytest.mark.parametrize("change", CHANGES)
def test_a_service_starts_and_a_retry_gets_the_stored_answer(past: Past, change: str) -> None:
    settings = changed(past.folder, CHANGES[change])

    async def body(process: ScoringProcess) -> None:
        assert process.scorer.ready
        again = await score(process, past.wires)
        assert logged(again) == logged(past.answers)
        expected = codes(past.answers) if change == "a categorical" else {"FEATURES_CHANGED"}
        assert codes(again) == expected
        wire = past.wires[0]
        wire.categoricals["channel"] = "elsewhere"
        (other,) = await score(process, [wire])
        assert isinstance(other, Conflict)
        fresh = Stream(seed=92).take(5)
        fresh[0].categoricals.update({"country": "NLD"} if CATEGORICAL in CHANGES[change] else {})
        mixed = await score(process, [*past.wires[10:15], *fresh])
        assert logged(mixed)[:5] == logged(past.answers)[10:15]
        width = 4 * len(process.spec.names)
        assert {len(row.features) for row in stored(mixed)[5:]} == {width}

    inside(settings, body)
    inside(settings, body_of_a_second_start)


async def body_of_a_second_start(process: ScoringProcess) -> None:
    """The log now holds rows of both kinds."""
    assert process.scorer.ready


@pytest.mark.parametrize("change", CHANGES)
def test_a_decision_is_explained_from_the_archive_or_given_without_reasons(past: Past, change: str) -> None:
    answers = [it for it in past.answers if isinstance(it, Answer)]
    settings = changed(past.folder, CHANGES[change])

    async def body(process: ScoringProcess) -> None:
        for place, answer in ((0, answers[0]), (29, answers[29]), (39, answers[39])):
            entry = await process.queries.decision(answer.scored.transaction_id)
            assert isinstance(entry.event, Scored)
            assert encode(entry.event) == encode(answer.scored)
            reasons = await process.desk.explain_one(entry)
            if place < 30 or change == "a categorical":
                assert reasons == answer.reasons
            else:
                (why,) = reasons
                assert why.code == "FEATURES_CHANGED"
                assert "no longer has the features that card-1 saw" in why.text

    inside(settings, body)


def test_without_an_archive_the_decision_is_given_too(past: Past) -> None:
    shutil.rmtree(past.settings.places.archive)
    settings = changed(past.folder, [NUMERIC])

    async def body(process: ScoringProcess) -> None:
        entry = await process.queries.decision(stored(past.answers)[0].transaction_id)
        (why,) = await process.desk.explain_one(entry)
        assert why.code == "FEATURES_CHANGED"

    inside(settings, body)


def test_a_feature_that_is_gone_leaves_the_decision(past: Past) -> None:
    settings = changed(past.folder, [GONE])

    async def body(process: ScoringProcess) -> None:
        for place in (0, 39):
            scored = stored(past.answers)[place]
            entry = await process.queries.decision(scored.transaction_id)
            assert encode(entry.event) == encode(scored)
            (why,) = await process.desk.explain_one(entry)
            assert why.code == "FEATURES_CHANGED"
        assert logged(await score(process, past.wires)) == logged(past.answers)

    inside(settings, body)


@pytest.mark.parametrize("change", CHANGES)
def test_a_rollback_is_planned_on_the_rows_that_can_be_read(past: Past, change: str) -> None:
    past.ledger.register("card-2", upto=0)
    crown(past.ledger, "card-2")
    settings = changed(past.folder, CHANGES[change])
    held = 40 if change == "a categorical" else 0

    async def body(process: ScoringProcess) -> None:
        await process.follower.poll(process.batcher)
        order = RollbackOrder("card", 0, "card-1", past.wires[5].event_time_us, "ann", "a test")
        for rows in (held, held + 5):
            plan = await process.rollbacks.plan(order)
            assert {it.rows for it in plan.forecasts} == {rows}
            await score(process, Stream(seed=93).take(5))

    inside(settings, body)


@pytest.mark.parametrize("change", CHANGES)
def test_a_probation_is_judged_beside_rows_that_cannot_be_read(past: Past, change: str) -> None:
    past.ledger.register("card-2", upto=0)
    settings = changed(past.folder, CHANGES[change])
    crown_on_probation(past.ledger, "card-2", probation_days=7)

    async def body(process: ScoringProcess) -> None:
        await process.follower.poll(process.batcher)
        await score(process, Stream(seed=94).take(20))
        await process.follower.poll(process.batcher)
        state = process.registry.refresh()
        assert [it.version for it in state.probations["card"]] == ["card-2"]
        logged = LoggedFeatures.of(process.spec, process.log)
        others = decided_by_others(process.log, "card", "card-2", logged.since)
        assert len(others) == (40 if change == "a categorical" else 0)
        champion = process.loader.load("card-2")
        assert len(logged.readable(others, [champion])) == len(others)
        assert process.scorer.shadows.pairs["card"].alerts.rows > 0

    inside(settings, body)


@pytest.mark.parametrize("pruned", [False, True])
@pytest.mark.parametrize("change", CHANGES)
def test_a_replay_compares_what_was_logged_under_these_features(
    past: Past, change: str, pruned: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = changed(past.folder, CHANGES[change])

    async def body(process: ScoringProcess) -> None:
        await score(process, Stream(seed=95).take(5))
        if pruned:
            assert process.log.prune(31, process.log.last_arrival_us() + 1)

    inside(settings, body)
    equal, left_out = (45, 0) if change == "a categorical" else (5, 40)
    arguments = ["--config", str(past.folder / "fraud.toml"), "--output", "json"]
    capsys.readouterr()
    assert run([*arguments, "replay"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["transactions"], document["left_out"]) == (equal, left_out)
    back_up(settings, past.folder / "fraud.toml", tmp_path / "backup", now_us=START_US)
    restored = restore(settings, tmp_path / "backup", tmp_path / "again", verify=True)
    # The snapshot of the first ten is of use where the state stays what it was.
    behind = {"a categorical": (35, 0), "a numeric": (5, 30)}.get(change, (equal, left_out))
    assert (restored.transactions_replayed, restored.transactions_left_out) == behind


def test_a_replay_that_can_compare_nothing_says_so(past: Past, capsys: pytest.CaptureFixture[str]) -> None:
    changed(past.folder, [WINDOW])
    assert run(["--config", str(past.folder / "fraud.toml"), "replay"]) != 0
    assert "all 40 transactions were logged under another set" in capsys.readouterr().err


def test_words_that_a_version_reads_are_there_in_older_rows(past: Past) -> None:
    async def body(process: ScoringProcess) -> None:
        champion = process.loader.load("card-1")
        rows = recent(process.log, "card", 1)
        logged = LoggedFeatures(len(process.spec.names), since=1)
        assert all(map(operator.is_, logged.readable(rows, [champion]), rows))
        short = [replace(row, categoricals=()) for row in rows]
        (first, *_) = logged.readable(short, [champion])
        assert first.categoricals == ("",)
        assert champion.words([first]) == [("",)]

    inside(past.settings, body)


@pytest.mark.parametrize("change", CHANGES)
def test_what_was_not_archived_before_a_change_is_archived_after_it(past: Past, change: str) -> None:
    settings = changed(past.folder, CHANGES[change])

    async def body(process: ScoringProcess) -> None:
        await score(process, Stream(seed=96).take(5))
        assert process.archive.position() < 40
        assert process.archive.copy_from(process.log) == process.log.head()
        rows = process.archive.transactions().sort("position").collect()
        assert len(rows) == 45
        was, now = FeatureSpec.of(past.settings), process.spec
        assert {name for name in now.names if rows[f"f_{name}"].null_count()} == NEW[change]
        assert all(rows[f"f_{name}"].null_count() in (0, 40) for name in now.names)
        kept = [name for name in was.names if name in now.names and name not in NEW[change]]
        logged = np.frombuffer(b"".join(row.features for row in stored(past.answers)), "<f4").reshape(40, -1)
        before = np.ascontiguousarray(logged[:, was.indices(kept)])
        after = np.ascontiguousarray(rows.head(40).select(f"f_{name}" for name in kept).to_numpy())
        assert np.array_equal(before.view("<u4"), after.view("<u4"))

    inside(settings, body)


def test_a_field_that_moves_is_refused_at_the_start_and_nothing_has_changed(past: Past) -> None:
    settings = changed(past.folder, [MOVED])
    with pytest.raises(
        ConfigError, match="channel was logged in place 1, the configuration has country there"
    ):
        ScoringProcess(settings)
    back = changed(past.folder, [(MOVED[1], MOVED[0])])
    inside(back, body_of_a_second_start)


def test_a_version_that_learned_another_meaning_of_a_feature_is_refused_by_name(past: Past) -> None:
    spec = FeatureSpec.of(past.settings)
    bundle = made_bundle("card")

    def made(**meant: str) -> Champion:
        manifest = {**bundle.manifest, "feature_definitions": meant}
        learned = replace(bundle, manifest=manifest)
        return make_champion("card-1", learned, spec, past.settings, since_us=0, ledger_seq=1)

    assert made().columns.tolist() == made(amount=spec.definitions["amount"]).columns.tolist()
    with pytest.raises(
        ConfigError,
        match=r"card_count_1h meant something else to the model \(card_count_1h: "
        r"'count of card over 1h by 10m', now 'count of card over 1h by 5m'\)",
    ):
        made(card_count_1h="count of card over 1h by 10m")
