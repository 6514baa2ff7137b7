"""An erasure asked about off the event loop, and finished twice."""

import threading
from pathlib import Path

import pytest

from fraud.registry.ledger import RegistryState
from tests.serving.persons import TOKEN, personal_settings
from tests.serving.test_eraser import Service, erase_ann, service
from tests.serving.worlds import Stream


def test_asking_reads_the_ledger_off_the_event_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(here: Service) -> None:
        await here.fill(Stream(seed=49))
        surrogate = await erase_ann(here)
        registry, readers = here.process.registry, set()
        refresh = registry.refresh

        def noted() -> RegistryState:
            readers.add(threading.get_ident())
            return refresh()

        monkeypatch.setattr(registry, "refresh", noted)
        assert (await here.eraser.ask("card", surrogate)).complete
        assert len(readers) == 1
        assert threading.get_ident() not in readers

    service(personal_settings(tmp_path), body)


def test_an_erasure_finished_by_a_retry_meanwhile_waits_for_nothing(tmp_path: Path) -> None:
    async def body(here: Service) -> None:
        await here.fill(Stream(seed=50))
        plan = await here.eraser.plan("card", TOKEN)
        erasure = await here.process.batcher.run(lambda: here.eraser._begin(plan, "dpo", "request"))
        await here.eraser._work(here.eraser._go_on)
        await here.eraser._work(here.eraser._finish, erasure, 0.0)
        assert here.eraser._under_way == {}
        assert (await here.eraser.ask("card", plan.surrogate)).complete

    service(personal_settings(tmp_path), body)
