"""What rules and lists decided, seen by those who learn from it and by a trial of other rules."""

from pathlib import Path

import polars as pl

from fraud.clock import DAY_US
from fraud.features.archive import open_archive
from fraud.features.spec import FeatureSpec
from fraud.gate.censoring import decided_by_rule
from fraud.policy.rules import Rule, RuleSet
from fraud.records import Label, LabelsSubmitted, LabelValue, Outcome
from fraud.registry.ledger import RegistryState
from fraud.registry.store import LedgerStore
from fraud.retrainer.rule_trials import try_rules
from fraud.serving.server import ScoringProcess
from fraud.settings import Settings
from fraud.training.dataset import training_rows
from fraud.training.history import Cut, History
from tests.serving.test_exploring import exploring, inside
from tests.serving.test_overruling import decide, payment, put, set_rules
from tests.serving.worlds import Stream, settings_in

LARGE = Rule("large", "amount > 100", Outcome.DECLINE, text="large amount")


def labelled(process: ScoringProcess, *transaction_ids: str) -> None:
    now_us = process.scorer.now_us()
    frauds = tuple(Label(name, LabelValue.FRAUD, now_us) for name in transaction_ids)
    process.scorer.append_labels(LabelsSubmitted("b1", 0, "chargeback", "bank", frauds, "0" * 64), {})


def archived(settings: Settings, process: ScoringProcess) -> History:
    archive = open_archive(settings)
    archive.copy_from(process.log)
    cut = Cut(archive.position(), process.scorer.now_us())
    return History(archive, FeatureSpec.of(settings), settings, cut)


def test_unlabelled_declines_of_rules_and_lists_teach_nothing_and_labelled_ones_count(
    tmp_path: Path,
) -> None:
    stream, settings = Stream(seed=71), settings_in(tmp_path)
    set_rules(settings, LARGE)

    async def body(process: ScoringProcess) -> None:
        put(process, "block", "card", "bad")
        wires = [
            payment(stream, amount_minor=20_000),
            payment(stream, amount_minor=20_000),
            payment(stream, card="bad"),
            payment(stream),
        ]
        await decide(process, *wires)
        stream.skip_days(20)
        await decide(process, payment(stream))
        labelled(process, wires[1].transaction_id)
        history = archived(settings, process)
        rows = training_rows(history, "card")
        assert rows.label.tolist() == [-1, 1, -1, 0, -1], "the last one has not matured"
        judged = history.judged("card").sort("position").collect()
        assert judged["rule"].to_list() == ["large", "large", "block:card", None, None]
        assert decided_by_rule(judged).tolist() == [True, True, True, False, False]

    inside(settings, body)


def test_a_trial_counts_hits_frauds_and_what_the_model_alone_had_alerted_on(tmp_path: Path) -> None:
    stream, settings = Stream(seed=72), exploring(tmp_path)
    set_rules(settings, Rule("web", "channel = 'web'", Outcome.APPROVE, "after", "web"))

    async def body(process: ScoringProcess) -> None:
        wires = [
            payment(stream, amount_minor=20_000, channel="web"),
            payment(stream, amount_minor=20_000),
            payment(stream, amount_minor=100, channel="web"),
            payment(stream, amount_minor=100),
        ]
        decisions = await decide(process, *wires)
        assert [it.rule for it in decisions] == ["web", "", "web", ""]
        labelled(process, wires[0].transaction_id, wires[3].transaction_id)
        archived(settings, process)

    inside(settings, body)
    store = LedgerStore.open(settings.places.ledger)
    state = store.state()
    store.close()
    declined = Rule("declined", "outcome = 'DECLINE' AND score > 0", Outcome.REVIEW, "after", "declined")
    past = try_rules(settings, state, "card", RuleSet((LARGE, declined)), 30 * DAY_US)
    large, after = past.trial.lines
    assert (past.trial.rows, past.trial.frauds, past.unknown) == (4, 2, 0)
    assert (large.rows, large.frauds, large.judged, large.amount_minor) == (2, 1, 1, 40_000)
    assert (large.decides, large.precision) == (2, 1.0)
    # The champion declines everything: also where a rule let it pass, or exploration did.
    assert large.alerted == 2
    assert (after.rows, after.decides, after.alerted) == (4, 2, 4)
    assert past.trial.whole.rows == 4


def test_where_no_model_answered_the_configured_outcome_stands_for_it(tmp_path: Path) -> None:
    stream, settings = Stream(seed=73), settings_in(tmp_path)
    set_rules(settings, LARGE, model="transfer")

    async def body(process: ScoringProcess) -> None:
        wires = [payment(stream, amount_minor=20_000), payment(stream)]
        for wire in wires:
            wire.model = "transfer"
        await decide(process, *wires)
        archived(settings, process)

    inside(settings, body)
    past = try_rules(settings, RegistryState(), "transfer", RuleSet((LARGE,)), DAY_US)
    (line,) = past.trial.lines
    assert (line.rows, line.alerted, past.unknown) == (1, 1, 0), "transfer is reviewed without a model"
    assert pl.DataFrame({"rule": [None, "", "large"]}).pipe(decided_by_rule).tolist() == [False, False, True]
