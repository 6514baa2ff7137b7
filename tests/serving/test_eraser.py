"""A person is erased: nothing of it is left in any file, and nothing else has changed."""

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from fraud.errors import Conflict, InvalidInput, NotFound
from fraud.features.archive import open_archive
from fraud.features.difference import Comparison
from fraud.features.fold import FeatureFold
from fraud.features.replay import replay
from fraud.records import Scored
from fraud.registry import LedgerStore
from fraud.serving.batcher import Answer
from fraud.serving.eraser import ErasureReport
from fraud.serving.feedback import coordinates_of
from fraud.serving.intake import TransactionIntake
from fraud.serving.server import ScoringProcess
from fraud.settings import Settings
from fraud.v1.transaction_pb2 import Transaction
from tests.serving.persons import (
    DEVICE,
    EMAIL,
    REMARK,
    SHARED_DEVICE,
    TOKEN,
    files_with,
    personal_settings,
    take,
    verdicts,
)
from tests.serving.worlds import START_S, Stream


class Service:
    """A scoring process opened in this one, without a server in front."""

    def __init__(self, settings: Settings) -> None:
        self.process = ScoringProcess(settings)
        self.intake = TransactionIntake(settings)
        self.eraser = self.process.eraser

    async def score(self, wires: list[Transaction]) -> list[Scored]:
        rows = tuple(self.intake.read(wire, 2**61) for wire in wires)
        answers = await self.process.batcher.score(rows, with_reasons=False)
        return [answer.scored for answer in answers if isinstance(answer, Answer)]

    async def label(self, wires: list[Transaction]) -> None:
        feedback, labels = self.process.feedback, verdicts(wires)
        name = f"batch-of-{wires[0].transaction_id}"
        await self.process.batcher.run(lambda: feedback.take_labels(name, 0, "analyst", "jane", labels))

    async def fill(self, stream: Stream, rows: int = 200) -> list[Transaction]:
        wires = take(stream, rows)
        await self.score(wires)
        await self.label(wires)
        return wires

    def replayed_rows(self) -> int:
        """Replay the log; every feature must be what was logged."""
        process = self.process
        comparison = Comparison(process.spec.names)
        state = process.scorer.state
        assert state is not None
        fold = FeatureFold(process.spec, state.fold.rule)
        entries = process.log.read(0, 1_000_000)
        for run, features in replay(fold, entries, lambda ids: coordinates_of(process.log.find(ids))):
            assert comparison.take(run, features), comparison.first
        assert fold.equals(state.fold)
        assert not comparison.left_out
        return comparison.equal


def service(settings: Settings, body: Callable[[Service], Awaitable[None]]) -> None:
    """Run `body` with a scorer that is recovered and started, then close it."""

    async def go() -> None:
        here = Service(settings)
        here.process.scorer.recover()
        here.process.batcher.start(asyncio.get_running_loop())
        try:
            await body(here)
        finally:
            await here.process.batcher.close()
            here.process.close()

    asyncio.run(go())


async def erase_ann(here: Service) -> int:
    report = await here.eraser.erase("card", TOKEN, actor="dpo", reason="request 4711")
    assert report.complete, report.waiting_for
    return report.surrogate


def test_no_byte_of_a_person_is_left_and_replay_and_archive_agree(tmp_path: Path) -> None:
    settings = personal_settings(tmp_path)

    async def body(here: Service) -> None:
        stream, process = Stream(seed=41), here.process
        wires = await here.fill(stream)
        process.keeper.snapshot_now()
        process.archive.copy_from(process.log)
        await here.fill(stream)
        assert {line.partition(": ")[2] for line in files_with(settings.data_dir)} == {
            TOKEN,
            EMAIL,
            REMARK,
            DEVICE,
        }
        before = process.log.read(0, 1_000_000)
        await erase_ann(here)
        process.keeper.snapshot_now()
        assert files_with(settings.data_dir) == []
        assert files_with(settings.data_dir, (b"c1@mail.invalid", SHARED_DEVICE.encode())), "others stay"
        after = process.log.read(0, 1_000_000)
        assert [entry.position for entry in before] == [entry.position for entry in after]
        features = [(e.event.features, e.event.surrogates) for e in before if isinstance(e.event, Scored)]
        assert features == [
            (e.event.features, e.event.surrogates) for e in after if isinstance(e.event, Scored)
        ]
        assert here.replayed_rows() == 400
        archived = [entry.event for entry in process.archive.entries()]
        assert archived[3] == after[3].event
        assert process.archive.position() == process.log.head()
        # The batch came with comments; pushed again it is still the same batch.
        await here.label(wires)

    service(settings, body)


def test_a_returning_customer_is_somebody_new_also_after_a_restart(tmp_path: Path) -> None:
    settings, stream = personal_settings(tmp_path), Stream(seed=42)
    surrogates: list[int] = []

    async def first(here: Service) -> None:
        wires = await here.fill(stream)
        surrogates.append(await erase_ann(here))
        with_token = wires[3]
        answers = await here.process.batcher.score((here.intake.read(with_token, 2**61),), with_reasons=False)
        assert isinstance(answers[0], Conflict), "an erased payment cannot be told from another one"
        again = take(stream, 10)
        surrogates.append((await here.score(again))[3].surrogates[0])
        # The newest surrogate of all is erased: the case in which counting tokens would give it again.
        surrogates.append(await erase_ann(here))

    async def second(here: Service) -> None:
        state = here.process.scorer.state
        assert state is not None
        tokens = [token for token in here.process.log.tokens() if token.entity_index == 0]
        assert len({token.surrogate for token in tokens}) == len(tokens)
        surrogates.append((await here.score(take(stream, 10)))[3].surrogates[0])
        assert here.replayed_rows() == 220

    service(settings, first)
    service(settings, second)
    ann, again, erased_again, after_restart = surrogates
    assert again == erased_again
    assert ann < again < after_restart


def test_a_repeat_says_so_and_a_token_that_never_came_is_not_found(tmp_path: Path) -> None:
    settings = personal_settings(tmp_path)

    async def first(here: Service) -> None:
        await here.fill(Stream(seed=43))
        plan = await here.eraser.plan("card", TOKEN)
        done = await here.eraser.erase("card", TOKEN, actor="dpo", reason="request")
        assert (done.complete, done.repeated, done.waiting_for) == (True, False, "")
        counts = (plan.transactions, plan.fields, plan.comments)
        assert counts == (done.transactions, done.fields, done.comments) == (20, 20, 20)
        head = here.process.registry.refresh().seq
        for again in (
            await here.eraser.erase("card", TOKEN, actor="dpo", reason="request"),
            await here.eraser.plan("card", TOKEN),
            await here.eraser.ask("card", done.surrogate),
        ):
            assert (again.repeated, again.ledger_seq) == (True, done.ledger_seq)
        assert here.process.registry.refresh().seq == head
        with pytest.raises(NotFound, match="no such token: it never came in, or it was erased before"):
            await here.eraser.erase("card", "never seen", actor="dpo", reason="request")
        with pytest.raises(NotFound, match="no erasure of surrogate 9999 was begun"):
            await here.eraser.ask("card", 9999)
        with pytest.raises(InvalidInput, match="'person' is not in the schema; give one of: card, merchant"):
            await here.eraser.plan("person", TOKEN)

    async def second(here: Service) -> None:
        with pytest.raises(NotFound, match="it was erased before"):
            await here.eraser.erase("card", TOKEN, actor="dpo", reason="request")

    service(settings, first)
    service(settings, second)


def test_the_ledger_says_who_and_why_and_never_the_token(tmp_path: Path) -> None:
    async def body(here: Service) -> None:
        await here.fill(Stream(seed=44))
        for actor, reason in ((TOKEN, "request"), ("dpo", f"customer {TOKEN} asks for it")):
            with pytest.raises(InvalidInput, match="holds the token; it is kept for ever"):
                await here.eraser.erase("card", TOKEN, actor=actor, reason=reason)
        surrogate = await erase_ann(here)
        (entry,) = here.process.registry.store.read()
        assert (entry.kind, entry.actor, entry.reason) == ("EntityErased", "dpo", "request 4711")
        assert {key: entry.body[key] for key in ("entity", "surrogate", "transactions")} == {
            "entity": "card",
            "surrogate": surrogate,
            "transactions": 20,
        }
        assert list(entry.body["linked"]) == ["device"]
        here.process.registry.store.verify()

    service(personal_settings(tmp_path), body)


def test_what_only_the_person_had_goes_with_it_and_what_others_have_stays(tmp_path: Path) -> None:
    async def body(here: Service) -> None:
        await here.fill(Stream(seed=45))
        plan = await here.eraser.plan("card", TOKEN)
        (linked,) = plan.linked
        assert (linked.entity, len(linked.own), linked.shared) == ("device", 1, 1)
        await erase_ann(here)
        devices = {token.token for token in here.process.log.tokens() if token.entity_index == 2}
        assert DEVICE not in devices
        assert SHARED_DEVICE in devices

    service(personal_settings(tmp_path), body)


def test_what_somebody_else_pays_with_while_the_plan_is_made_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body(here: Service) -> None:
        stream = Stream(seed=46)
        await here.fill(stream)
        plan, loop = here.eraser._plan, asyncio.get_running_loop()
        (later,) = stream.take(1)
        later.entities["device"] = DEVICE

        def meanwhile(entity: str, surrogate: int) -> ErasureReport:
            made = plan(entity, surrogate)
            asyncio.run_coroutine_threadsafe(here.score([later]), loop).result()
            return made

        monkeypatch.setattr(here.eraser, "_plan", meanwhile)
        await erase_ann(here)
        devices = {token.token for token in here.process.log.tokens() if token.entity_index == 2}
        assert DEVICE in devices, "it is not only Ann's any more"

    service(personal_settings(tmp_path), body)


def test_what_the_person_pays_with_while_the_plan_is_made_goes_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body(here: Service) -> None:
        stream = Stream(seed=47)
        await here.fill(stream)
        plan, loop = here.eraser._plan, asyncio.get_running_loop()
        own, shared, others = stream.take(3)
        own.entities["device"] = "ann's new phone"
        shared.entities["device"] = others.entities["device"] = "a new phone of two"
        own.entities["card"] = shared.entities["card"] = TOKEN

        def meanwhile(entity: str, surrogate: int) -> ErasureReport:
            made = plan(entity, surrogate)
            asyncio.run_coroutine_threadsafe(here.score([own, shared, others]), loop).result()
            return made

        monkeypatch.setattr(here.eraser, "_plan", meanwhile)
        await erase_ann(here)
        devices = {token.token for token in here.process.log.tokens() if token.entity_index == 2}
        assert "ann's new phone" not in devices
        assert "a new phone of two" in devices
        assert DEVICE not in devices

    service(personal_settings(tmp_path), body)


def test_what_two_shared_goes_with_the_second_though_the_first_still_waits(tmp_path: Path) -> None:
    settings = personal_settings(tmp_path)

    async def body(here: Service) -> None:
        stream = Stream(seed=48)
        await here.fill(stream)
        wires = stream.take(2)
        for wire, card in zip(wires, (TOKEN, "tok-of-bob"), strict=True):
            wire.entities["card"], wire.entities["device"] = card, "theirs"
        await here.score(wires)
        here.process.archive.copy_from(here.process.log)
        with open_archive(settings).reading():
            ann = await here.eraser.plan("card", TOKEN)
            await here.process.batcher.run(lambda: here.eraser._begin(ann, "dpo", "request"))
            bob = await here.eraser.plan("card", "tok-of-bob")
            await here.process.batcher.run(lambda: here.eraser._begin(bob, "dpo", "request"))
        devices = {token.token for token in here.process.log.tokens() if token.entity_index == 2}
        assert "theirs" not in devices

    service(settings, body)


def test_an_erasure_that_waits_for_a_reader_goes_on_by_itself(tmp_path: Path) -> None:
    settings = personal_settings(tmp_path)

    async def body(here: Service) -> None:
        await here.fill(Stream(seed=46))
        process = here.process
        process.archive.copy_from(process.log)
        reader = open_archive(settings)
        with reader.reading():
            rows = reader.transactions()
            plan = await here.eraser.plan("card", TOKEN)
            erasure = await process.batcher.run(lambda: here.eraser._begin(plan, "dpo", "request"))
            await here.eraser._work(here.eraser._finish, erasure, 0.0)
            report = await here.eraser.ask("card", plan.surrogate)
            assert not report.complete
            assert "reads the archive" in report.waiting_for
            assert (report.transactions, report.ledger_seq) == (20, 0)
            assert EMAIL in rows.collect()["categorical_email"].to_list(), "the reader was not disturbed"
            assert TOKEN not in {token.token for token in process.log.tokens()}
        end = time.monotonic() + START_S
        while process.log.erasures():
            here.eraser.tend()
            await asyncio.sleep(0)
            assert time.monotonic() < end
        assert (await here.eraser.ask("card", plan.surrogate)).complete
        assert files_with(settings.data_dir) == []

    service(settings, body)


def test_a_log_restored_from_a_copy_is_erased_again_and_that_is_recorded_again(tmp_path: Path) -> None:
    settings = personal_settings(tmp_path)
    stream = Stream(seed=48)

    async def first(here: Service) -> None:
        await here.fill(stream)

    async def second(here: Service) -> None:
        await here.score(take(stream, 10))
        await erase_ann(here)

    service(settings, first)
    shutil.copy(settings.places.log, tmp_path / "backup")
    service(settings, second)
    for name in ("", "-wal", "-shm"):
        Path(f"{settings.places.log}{name}").unlink(missing_ok=True)
    shutil.rmtree(settings.places.archive)
    shutil.rmtree(settings.places.state, ignore_errors=True)
    shutil.copy(tmp_path / "backup", settings.places.log)
    assert files_with(settings.data_dir) != []
    service(settings, second)
    assert files_with(settings.data_dir) == []
    ledger = LedgerStore.open(settings.places.ledger)
    assert [entry.kind for entry in ledger.read()] == ["EntityErased", "EntityErased"]
    ledger.close()


def test_an_erasure_reaches_what_has_left_the_log(tmp_path: Path) -> None:
    settings = personal_settings(tmp_path)

    async def body(here: Service) -> None:
        stream, process = Stream(seed=47), here.process
        await here.fill(stream)
        process.archive.copy_from(process.log)
        process.log.prune(150, 2**61)
        await here.fill(stream, 50)
        await erase_ann(here)
        assert files_with(settings.data_dir) == []
        assert process.log.first() == 151

    service(settings, body)
