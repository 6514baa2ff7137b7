"""Every kind of ledger entry is told in words, by page, of one model or of all."""

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fraud.cli.main import run
from fraud.registry.ledger import FOLDS
from fraud.registry.store import LedgerStore
from fraud.registry.wording import WORDS, models_of, words_of
from tests.golden.test_golden import RELEASES, copied


def test_there_are_words_for_every_kind_and_for_no_other() -> None:
    assert set(WORDS) == set(FOLDS)


@pytest.mark.parametrize("release", RELEASES)
def test_each_entry_of_a_release_is_a_sentence_and_names_no_token(release: str, tmp_path: Path) -> None:
    settings, _ = copied(release, tmp_path)
    with closing(LedgerStore.open(settings.places.ledger, writable=False)) as store:
        entries = store.read()
    told = {entry.kind: words_of(entry) for entry in entries}
    assert [kind for kind, words in told.items() if words == kind or len(words.split()) < 2] == []
    assert "gone-" not in " ".join(told.values())
    assert words_of(replace(entries[-1], body={})) == entries[-1].kind


def test_the_whole_ledger_is_listed_newest_first_in_pages_and_by_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings, _ = copied(RELEASES[-1], tmp_path)
    config = tmp_path / "fraud.toml"
    config.write_text(config.read_text().replace("port = 0", "port = 1\npage_size_max = 4"))

    def history(*more: str) -> list[dict[str, Any]]:
        assert run(["history", "--all", "--config", str(config), "--output", "json", *more]) == 0
        entries: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["entries"]
        return entries

    with closing(LedgerStore.open(settings.places.ledger, writable=False)) as store:
        entries = store.read()
        assert store.newest("nobody", 0, 99) == [it for it in reversed(entries) if not models_of(it)]
    found = history()
    assert [it["ledger_seq"] for it in found] == [it.seq for it in reversed(entries)]
    assert {it["kind"] for it in found} == set(FOLDS)
    assert {it["kind"]: it["what"] for it in found}["Vacuumed"] == "2 bundles and 2 files let go"
    assert len(history("--limit", "3")) == 3
    assert {it["model"] for it in history("--model", "card")} == {"card", ""}
    assert run(["history", "--all", "--config", str(config)]) == 0
    assert "exploration switched off" in capsys.readouterr().out
