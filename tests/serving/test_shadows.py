"""Shadows in the scorer: logged beside the decision, never part of it; and jumps on probation."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fraud.clock import DAY_US
from fraud.records import Decision, Outcome, Scored
from fraud.registry.store import promote
from fraud.serving.intake import TransactionIntake
from fraud.serving.logged_features import features_of
from fraud.serving.server import ScoringProcess
from fraud.serving.shadows import InShadow
from fraud.settings.model import Policy, Target
from tests.serving.registered import Ledger
from tests.serving.test_exploring import inside, score
from tests.serving.worlds import START_US, Stream, settings_in

DECLINES_ALL = Policy(review=None, decline=Target(score=1e-9))
ALERTS_NEVER = Policy(review=Target(score=0.999999), decline=None)
FEW = Policy(review=Target(share=0.05))


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    settings_in(tmp_path)
    made = Ledger(tmp_path)
    made.register("card-1", upto=0)
    return made


def crown(ledger: Ledger, version: str, probation_days: int = 0) -> None:
    champion = ledger.store.state().champion("card")
    promote(
        ledger.store,
        "card",
        version,
        champion,
        actor="gate",
        reason="",
        time_us=START_US,
        probation_us=probation_days * DAY_US,
    )


def with_shadows(ledger: Ledger, challengers: int) -> Any:
    """The ledger's settings with so many challengers in shadow."""
    gate = ledger.settings.gate
    shadow = gate.shadow.model_copy(update={"challengers": challengers})
    changed = gate.model_copy(update={"shadow": shadow})
    return ledger.settings.model_copy(update={"gate": changed})


def scored_rows(process: ScoringProcess) -> list[Scored]:
    return [it.event for it in process.log.read(0, 100_000) if isinstance(it.event, Scored)]


def shadowed(process: ScoringProcess, model: str = "card") -> list[tuple[str, str]]:
    return [(it.slot, it.champion.version) for it in process.scorer.shadows.of(model)]


def values(process: ScoringProcess, name: str) -> dict[tuple[str, ...], float]:
    return {
        tuple(sample.labels.values()): sample.value
        for family in process.metrics.registry.collect()
        for sample in family.samples
        if sample.name == name
    }


def apart(decision: Decision) -> tuple[Any, ...]:
    """What was answered: everything but the shadows."""
    return (decision.score, decision.outcome, decision.version, decision.limits, decision.propensity)


def test_scores_in_shadow_are_logged_as_the_bundles_give_them(ledger: Ledger) -> None:
    crown(ledger, "card-1")
    for number in (2, 3, 4):
        ledger.register(f"card-{number}", upto=number)

    async def body(process: ScoringProcess) -> None:
        stream = Stream(seed=5)
        answers = [it for rows in (1, 30, 7) for it in await score(process, stream, rows)]
        assert {it.version for it in answers} == {"card-1"}
        rows = scored_rows(process)
        assert [len(row.decision.shadows) for row in rows] == [2] * 38
        features = features_of(rows, len(process.spec.names))
        for place, (_, version) in enumerate(shadowed(process)):
            held = process.loader.load(version)
            bundle = held.bundle
            scores = bundle.scores_of(held.matrix(features, held.words(rows)))
            given = [row.decision.shadows[place] for row in rows]
            assert [it.score for it in given] == scores.tolist(), "bit for bit"
            assert [int(it.outcome) for it in given] == bundle.thresholds.outcomes(scores).tolist()
            assert {it.version for it in given} == {version}

    inside(with_shadows(ledger, 2), body)


def test_answers_are_the_same_with_and_without(tmp_path: Path) -> None:
    told: list[list[tuple[Any, ...]]] = []

    async def body(process: ScoringProcess) -> None:
        told.append([apart(it) for it in await score(process, Stream(seed=8), 40)])

    for number, challengers in enumerate((0, 2)):
        folder = tmp_path / str(number)
        folder.mkdir()
        settings_in(folder)
        made = Ledger(folder)
        for version in ("card-1", "card-2", "card-3"):
            made.register(version, upto=0)
        crown(made, "card-1")
        inside(with_shadows(made, challengers), body)
    assert told[0] == told[1]


def test_a_service_without_a_champion_has_shadows_too_and_other_models_none(ledger: Ledger) -> None:
    async def body(process: ScoringProcess) -> None:
        stream = Stream(seed=5)
        (answer,) = await score(process, stream, 1)
        assert (answer.score, answer.version) == (None, "")
        assert [it.version for it in answer.shadows] == ["card-1"]
        assert values(process, "fraud_shadow_scored_total") == {("card", "challenger_1"): 1.0}
        assert values(process, "fraud_shadow_disagreed_total") == {("card", "challenger_1"): 0.0}
        assert values(process, "fraud_shadow_info") == {("card", "challenger_1", "card-1"): 1.0}
        assert shadowed(process, "transfer") == []

    inside(ledger.settings, body)


def test_a_shadow_that_fails_is_out_and_costs_no_answer(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    crown(ledger, "card-1")
    ledger.register("card-2", upto=1)

    async def body(process: ScoringProcess) -> None:
        (shadow,) = process.scorer.shadows.of("card")

        monkeypatch.setattr(type(shadow.champion.bundle.thresholds), "outcomes", _broken(shadow))
        stream = Stream(seed=6)
        answers = await score(process, stream, 20)
        assert [it.shadows for it in answers] == [()] * 20
        assert {it.version for it in answers} == {"card-1"}
        assert shadowed(process) == []

    inside(ledger.settings, body)


def _broken(shadow: InShadow) -> Callable[[Any, Any], Any]:
    """Let one bundle's thresholds fail, and no other's."""
    mine = shadow.champion.bundle.thresholds
    real = type(mine).outcomes

    def outcomes(self: Any, scores: Any) -> Any:
        if self is mine:
            raise FloatingPointError("broken")
        return real(self, scores)

    return outcomes


def test_a_version_whose_bundle_is_damaged_is_not_in_shadow(ledger: Ledger) -> None:
    crown(ledger, "card-1")
    ledger.register("card-2", upto=1)
    digest = ledger.store.state().version("card-2").digest
    for path in ledger.settings.places.bundles.rglob("*"):
        if digest[:8] in str(path) and path.is_file():
            path.write_bytes(b"not what was written")

    async def body(process: ScoringProcess) -> None:
        assert shadowed(process) == []
        (answer,) = await score(process, Stream(seed=6), 1)
        assert answer.version == "card-1"

    inside(ledger.settings, body)


@pytest.mark.parametrize(
    ("former", "policy", "direction"),
    [(FEW, DECLINES_ALL, "rose"), (DECLINES_ALL, ALERTS_NEVER, "fell")],
    ids=["rise", "fall"],
)
def test_a_jump_on_probation_brings_the_former_champion_back(
    ledger: Ledger, former: Policy, policy: Policy, direction: str
) -> None:
    ledger.register("card-2", upto=0, policy=former)
    ledger.register("card-3", upto=0, policy=policy)
    crown(ledger, "card-2")
    crown(ledger, "card-3", probation_days=7)

    async def body(process: ScoringProcess) -> None:
        stream = Stream(seed=11)
        assert shadowed(process)[0] == ("former", "card-2")
        for _ in range(20):
            await score(process, stream, 50)
            await process.follower.poll(process.batcher)
            if process.follower.serving("card") == "card-2":
                break
        state = ledger.store.state()
        assert state.champion("card") == "card-2"
        (probation,) = state.probations["card"]
        assert probation.result == "rolled back"
        entry = ledger.store.find([probation.ended_seq])[probation.ended_seq]
        assert (entry.kind, entry.actor) == ("RolledBack", "probation")
        assert f"{direction} to" in entry.reason
        assert entry.body["probation"]["e_value"] >= 80
        assert ("former", "card-2") not in shadowed(process)
        await process.follower.poll(process.batcher)
        assert values(process, "fraud_probation_e_value") == {}, "they were of a probation that is over"
        after = await score(process, stream, 1)
        assert after[0].version == "card-2"

    inside(ledger.settings, body)


def test_what_was_foreseen_on_the_payments_before_is_no_jump(ledger: Ledger) -> None:
    ledger.register("card-2", upto=0, policy=FEW)
    ledger.register("card-3", upto=0, policy=DECLINES_ALL)
    crown(ledger, "card-2")

    async def body(process: ScoringProcess) -> None:
        stream = Stream(seed=13)
        await score(process, stream, 40)
        crown(ledger, "card-3", probation_days=7)
        for _ in range(20):
            await process.follower.poll(process.batcher)
            await score(process, stream, 50)
        await process.follower.poll(process.batcher)
        assert ledger.store.state().champion("card") == "card-3"
        assert process.scorer.shadows.pairs["card"].alerts.champion_share > 0.9

    inside(ledger.settings, body)


def test_an_ordinary_champion_stays(ledger: Ledger) -> None:
    ledger.register("card-2", upto=0)
    crown(ledger, "card-1")

    async def body(process: ScoringProcess) -> None:
        stream = Stream(seed=12)
        await score(process, stream, 50)
        crown(ledger, "card-2", probation_days=7)
        for _ in range(20):
            await process.follower.poll(process.batcher)
            await score(process, stream, 50)
        await process.follower.poll(process.batcher)
        assert ledger.store.state().champion("card") == "card-2"
        sides = {f"{noun}_{way}" for noun in ("alerts", "declines") for way in ("rise", "fall")}
        assert {side for _, side in values(process, "fraud_probation_e_value")} == sides
        pairs = process.scorer.shadows.pairs["card"]
        told: Counter[tuple[bool, bool]] = Counter()
        moved: set[tuple[int, int]] = set()
        for row in scored_rows(process):
            if row.decision.version != "card-2":
                continue
            ours, theirs = row.decision.outcome, row.decision.shadows[0].outcome
            alerts = ours is not Outcome.APPROVE, theirs is not Outcome.APPROVE
            declines = ours is Outcome.DECLINE, theirs is Outcome.DECLINE
            differs = alerts[0] != alerts[1] or declines[0] != declines[1]
            card_day = row.surrogates[0], row.event_time_us // DAY_US
            if differs and card_day in moved:
                continue
            if differs:
                moved.add(card_day)
            told[alerts] += 1
        assert pairs.version == "card-2"
        counts = pairs.alerts
        assert (counts.both, counts.champion_only) == (told[True, True], told[True, False])
        assert (counts.former_only, counts.neither) == (told[False, True], told[False, False])
        assert pairs.declines.rows == counts.rows <= 1_000

    inside(ledger.settings, body)


def test_one_card_cannot_have_a_champion_rolled_back(ledger: Ledger) -> None:
    """A flood of payments that only the new champion declines, all of one card."""
    ledger.register("card-2", upto=0, policy=FEW)
    ledger.register("card-3", upto=0, policy=DECLINES_ALL)
    crown(ledger, "card-2")
    crown(ledger, "card-3", probation_days=7)

    async def body(process: ScoringProcess) -> None:
        read = TransactionIntake(process.settings).read
        stream = Stream(seed=14)
        for _ in range(6):
            wires = stream.take(50, step_us=1_000)
            for wire in wires:
                wire.entities["card"] = "mallory"
            await process.batcher.score(tuple(read(wire, 2**61) for wire in wires), with_reasons=False)
            await process.follower.poll(process.batcher)
        assert ledger.store.state().champion("card") == "card-3"
        pairs = process.scorer.shadows.pairs["card"]
        assert pairs.declines.champion_only == 1

    inside(ledger.settings, body)


def test_the_places_follow_the_ledger(ledger: Ledger) -> None:
    crown(ledger, "card-1")

    async def body(process: ScoringProcess) -> None:
        assert shadowed(process) == []
        ledger.register("card-2", upto=1)
        await process.follower.poll(process.batcher)
        assert shadowed(process) == [("challenger_1", "card-2")]
        ledger.append("VersionDropped", {"version": "card-2", "why": "test"})
        await process.follower.poll(process.batcher)
        assert shadowed(process) == []
        assert values(process, "fraud_shadow_info") == {}

    inside(ledger.settings, body)
