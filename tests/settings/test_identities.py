"""`[server.identities]`: names that nobody may have, and identities that speak for some sources alone."""

import tomllib
from pathlib import Path

import pytest

from fraud.cli.checkup import examine
from fraud.cli.finding import Finding
from fraud.errors import ConfigError
from fraud.labels.batches import IMPORTER
from fraud.serving.identity_desk import IdentityDesk
from fraud.settings import Settings, settings_from
from fraud.settings.access import check_identity_name
from tests.serving.worlds import CONFIG, settings_in


def read(identities: str) -> Settings:
    return settings_from(tomllib.loads(f"{CONFIG}\n[server.identities]\n{identities}\n"), {}, Path("f.toml"))


@pytest.mark.parametrize("name", [IMPORTER, "retrainer", "probation"])
def test_what_the_service_signs_with_itself_is_no_name_of_an_identity(name: str) -> None:
    with pytest.raises(ValueError, match=f"'{name}' is what the service signs with itself; take another"):
        check_identity_name(name)
    assert check_identity_name(f"{name}-2") == f"{name}-2"


def test_an_identity_is_bound_to_sources_by_its_name() -> None:
    settings = read(
        'file = "i.json"\nsources = { feed = ["chargeback"], "jane@bank" = ["analyst", "customer"] }'
    )
    assert settings.server.identities.sources == {
        "feed": ("chargeback",),
        "jane@bank": ("analyst", "customer"),
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            'sources = { jane = ["analyst"] }',
            "sources: nobody can tell who hands labels in without file; give",
        ),
        ('file = "i"\nsources = { jane = [] }', "server.identities.sources.jane: .* give at least 1"),
        ('file = "i"\nsources = { "a b" = ["analyst"] }', "'a b' is no name of an identity"),
        (
            'file = "i"\nsources = { jane = ["analyst", "rumour"] }',
            r"server\.identities\.sources\.jane: unknown rumour; allowed: chargeback, analyst, customer",
        ),
        ('file = "i"\nsources = { import = ["analyst"] }', "'import' is what the service signs with itself"),
    ],
)
def test_a_binding_that_binds_nobody_is_no_configuration(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read(text)


def findings(settings: Settings) -> list[Finding]:
    return [it for it in examine(settings) if it.check == "label sources"]


def test_the_doctor_warns_where_any_analyst_may_speak_for_any_source(tmp_path: Path) -> None:
    off = settings_in(tmp_path)
    assert findings(off) == []
    on = {"FRAUD__SERVER__IDENTITIES__FILE": "identities.json"}
    desk = IdentityDesk(tmp_path / "identities.json", made_by="a test")
    desk.add("joe", ["operator"], now_us=1, expires_us=0)
    desk.add("late", ["analyst"], now_us=1, expires_us=2)
    assert findings(settings_in(tmp_path, **on)) == [], "nobody can hand in labels"
    for name in ("jane", "feed"):
        desk.add(name, ["analyst"], now_us=1, expires_us=0)
    (warned,) = findings(settings_in(tmp_path, **on))
    assert (warned.state, warned.text) == (
        "warn", "2 analysts may hand in labels of any source, chargeback included",
    )  # fmt: skip
    assert "[server.identities] sources" in warned.remedy
    one = on | {"FRAUD__LABELS__SOURCES": '["chargeback"]'}
    assert findings(settings_in(tmp_path, **one)) == [], "there is nothing to choose from"
    bound = on | {"FRAUD__SERVER__IDENTITIES__SOURCES": '{ jane = ["analyst"] }'}
    (well,) = findings(settings_in(tmp_path, **bound))
    assert (well.state, well.text) == ("ok", "1 of 2 analysts are bound to theirs")
