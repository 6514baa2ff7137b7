"""A wrong key or value is an error that names it, and what is allowed."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_origin

import pytest
from pydantic import BaseModel

from fraud.errors import ConfigError
from fraud.settings import Settings, load_settings, settings_from
from fraud.settings.problems import section_in

LEAST = "[schema.entities.card]\n[schema.entities.merchant]\n[models.card]\n"

WRONG = {
    "[serverr]\nport = 1": ["serverr: unknown key", "did you mean 'server'", "allowed: service, schema"],
    "[server]\nportt = 1": ["server.portt: unknown key", "did you mean 'port'", "allowed: host, port"],
    "[server]\nport = 99999": ["server.port: 99999 is too large; write 65535 or less"],
    '[server]\nport = "abc"': ["server.port: 'abc' is no whole number"],
    "[server]\nport = 9464": ["server.port: is 9464, and so is monitoring.scorer_port; give each"],
    "[server]\nport = 9465": ["server.port: is 9465, and so is monitoring.retrainer_port"],
    "[monitoring]\nscorer_port = 9465": ["scorer_port: is 9465, and so is monitoring.retrainer_port"],
    '[log]\ndurability = "maybe"': ["log.durability", "'fsync' or 'process'", "'maybe'"],
    '[features.entities.card]\nwindows = ["5 apples"]': ["card.windows.0", "'5 apples'", "'45d'"],
    '[features.entities.card]\nwindows = [{ width = "1h", hopp = 5 }]': ["windows.0.hopp", "allowed: width"],
    '[features.entities.card]\nwindows = [{ width = "30d", hop = "1m" }]': ["hop: 43201 hops", "128 allowed"],
    '[features.entities.card]\nwindows = ["24h", "1d"]': ["features.entities.card", "1d: given twice"],
    '[features.entities.card]\naggregates = ["cuont"]': ["aggregates.0", "'count', 'sum'", "'cuont'"],
    '[features.entities.card]\naggregates = ["sum", "sum"]': ["aggregates", "sum: given twice"],
    '[features.entities.card]\ndistinct = ["shop"]': ["distinct: unknown shop", "allowed: merchant"],
    "[features.entities.shop]": ["features.entities: unknown shop", "allowed: card, merchant"],
    "[features]\nnight_hours = [22, 25]": ["features.night_hours.1", "24"],
    "[models.card.policy]\nreview = {}": ["models.card.policy.review", "exactly one of share, per_day"],
    "[models.card.policy]\nreview = { share = 0.1, score = 0.5 }": ["card.policy.review", "got share, score"],
    "[models.card.policy]\nreview = { cost = { missed_fraud = 1.0 } }": ["cost", "false_alarm, or"],
    "[models.card.policy]\nreview = { cost = { loss_share = 1.0, false_alarm = 1.0 } }": ["or loss_share"],
    "[models.card.policy]\nchallenge = { share = 0.4 }": ["gate.alerts_max: 0.25", "challenge.share is 0.4"],
    "[models.card.policy.exploration]\nrate = 0.1": ["exploration: key", "16 characters"],
    "[models.card.policy.exploration]\nbands = [{ from = 0.5, rate = 0.1 }]": ["exploration: key"],
    "[models.card.policy.exploration]\nbands = [{ from = 0.5, rate = 0.0 }, { from = 0.5, rate = 0.0 }]": [
        "must rise, got [0.5, 0.5]"
    ],
    "[models.card.policy.exploration]\nentity_budget_minor = { shop = 5 }": ["unknown shop"],
    "[models.card.policy.exploration]\nentity_budget_minor = { card = -5 }": ["card: a budget is 0 or more"],
    "[models.CARD]": ["models.CARD", "a-z, 0-9 and _"],
    '[models.transfer]\ncategoricals = ["mcc"]': ["models.transfer.categoricals", "'mcc' matches nothing"],
    "[schema.numeric.card]": ["schema", "card: used for two fields"],
    "[schema.numeric.age]\nmin = 5\nmax = 1": ["schema.numeric.age", "min: 5.0 is above max 1.0"],
    "[schema.amount]\nmax_minor = 99999999999": ["schema.amount.max_minor", "2147483647"],
    '[service]\ntimezone = "Mars"': ["service.timezone", "'Mars'", "'Europe/Brussels'"],
    '[service]\ncurrency = "eur"': ["service.currency: 'eur' is no currency code", "like 'EUR'"],
    "[labels]\nmaturity = 30": ["labels.maturity", "30 has no unit", "'45d'"],
    '[labels]\nmaturity = "0s"': ["labels.maturity", "longer than zero"],
    "[server]\ntls = 5": ["server.tls: 5 is no table; write its keys in one, like { key = value }"],
    '[training]\nrecipes = "full"': ["training.recipes: 'full' is no table"],
    '[service]\ndata_dir = ["a"]': ["service.data_dir: ['a'] is no path; write it in quotes"],
    '[service]\nclock = true': ["service.clock: true is not known here; write 'wall' or 'log'"],
    '[labels]\nassume_completed = "yes, please"': ["'yes, please' is neither true nor false"],
    '[labels]\nsources = "chargeback"': ["labels.sources: 'chargeback' is no list; write its values in [ ]"],
    "[labels]\nsources = [true]": ["labels.sources.0: true is not a name"],
    "[labels]\nmaturity = false": ["labels.maturity: false is not a duration; write it like '45d'"],
    "[server]\nport = 1.5": ["server.port: 1.5 is no whole number; write one like 10"],
    "[gate]\nalerts_max = nan": ["gate.alerts_max: nan is no number; write one like 0.5"],
    "[labels]\nsources = []": ["labels.sources", "[] has too few entries; give at least 1"],
    '[sentinels]\nsource = "rumour"': ["sentinels.source: unknown rumour", "allowed: chargeback, analyst"],
    "[sentinels]\nrows_min = 9\nrows_max = 5": ["sentinels", "rows_min: 9 is above rows_max, 5"],
    "[training.recipes.full]\nrounds = 10": ["training.recipes.full.kind", "is required"],
    '[training.recipes.full]\nkind = "ful"': ["training.recipes.full.kind", "'continue' or 'hardened'"],
    "[gate]": ["gate: is empty", "leave it out"],
    '[server]\nhost = "0.0.0.0"': ["server: host: 0.0.0.0 is reached from other machines", "insecure = true"],
    '[server]\nhost = "10.0.0.1"\n[server.tls]\ncertificate = "c"\nkey = "k"': ["[server.identities] file"],
    '[server]\nhost = "10.0.0.1"\n[server.identities]\nfile = "i"': ["needs [server.tls] certificate"],
    '[server.tls]\ncertificate = "c"': ["server.tls", "key: is not given, but certificate is"],
    '[server.tls]\nclients = "c"': ["server.tls", "certificate: is not given, but clients is"],
    "[server.bands]\nmedium = 950": ["server.bands", "(950, 950, 990) must rise"],
    '[monitoring]\nquality_windows = ["7d"]\n[training.triggers.value_detection]\nfall = 0.2': [
        "training.triggers.value_detection: holds the shortest of monitoring.quality_windows"
    ],
    '[server.two_person]\nmethods = ["Promote"]': ["two_person.methods: nobody can tell two callers apart"],
    '[server.identities]\nfile = "i"\ntokens_bound = true': ["tokens_bound", "[server.tls] clients"],
    '[server.two_person]\nmethods = ["Score"]': ["methods.0", "'Promote', 'Rollback' or 'ExcludeData'"],
    "[server.rates]\nrows_per_second = 5": ["rates: nobody can tell callers apart without"],
    "[server.rates.identities.shop]\ncalls_per_second = 5": ["rates: nobody can tell callers apart"],
    '[server.rates.identities."a b"]': ["server.rates.identities", "'a b' is no name of an identity"],
    "[server.rates]\ncalls_per_second = -1": ["rates.calls_per_second: -1 is too small; write 0 or more"],
    '[monitoring]\nhost = "::"': ["monitoring: host: :: is reached from other machines", "insecure = true"],
    '[monitoring]\nhost = "a.example"\ntoken_file = "t"': ["needs [monitoring.tls] certificate"],
    '[monitoring]\nhost = "a.example"\ntls = { certificate = "c", key = "k" }': ["and token_file"],
    '[monitoring.tls]\nkey = "k"': ["monitoring.tls", "certificate: is not given, but key is"],
    '[client]\nkey = "k"': ["client", "certificate: is not given, but key is"],
    '[import]\nmodel = "card"': ["import.transaction_id: is required", "import.label: is required"],
}  # fmt: skip


def read(text: str) -> Settings:
    return settings_from(tomllib.loads(text), {}, Path("fraud.toml"))


def test_two_entities_and_a_model_are_a_configuration() -> None:
    settings = read(LEAST)
    assert settings.schema_.entity_names == ("card", "merchant")
    assert settings.server.host == "127.0.0.1"


@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_configuration_is_named_with_the_remedy(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(LEAST + text)
    for part in WRONG[text]:
        assert part in str(caught.value)


VALUES: tuple[Any, ...] = (
    "abc", "", "5 apples", -1, 0, 10**12, 10**30, 1.5, -0.5, float("nan"), True,
    [], ["x"], [1], ["a", "a"], [[1]], [{"a": 1}], {}, {"x": 1},
)  # fmt: skip
FOREIGN = re.compile(
    r"[Ii]nput|[Ee]xtra|\bvalid\b|[Vv]alue error|instance of|Field|[Tt]uple|\b[Dd]ict|[Ss]tring|validation"
    r"|\bclass\b|\bNone|True|False|cannot be taken"
)
"""Words of Python and of the validator."""


def keys_of(section: type[BaseModel], *above: str) -> Iterator[tuple[str, ...]]:
    """Every key of the configuration; under a table of names, those of one that is called card."""
    for name, field in section.model_fields.items():
        path = (*above, field.alias or name)
        yield path
        inner = section_in(field.annotation)
        if inner is not None:
            named = get_origin(field.annotation) is dict or "dict[" in str(field.annotation)
            yield from keys_of(inner, *path, *(["card"] if named else []))


@pytest.mark.parametrize("section", sorted(Settings.model_fields))
def test_no_wrong_value_of_any_key_is_told_in_the_words_of_python(section: str) -> None:
    told = dict[str, str]()
    first = Settings.model_fields[section].alias or section
    for path in keys_of(Settings):
        for value in VALUES if path[0] == first else ():
            tables: dict[str, Any] = tomllib.loads(LEAST)
            table = tables
            for key in path[:-1]:
                table = table.setdefault(key, {})
            table[path[-1]] = value
            try:
                settings_from(tables, {}, Path("fraud.toml"))
            except ConfigError as error:
                lines = [
                    re.sub(r"'[^']*'", "", line.partition(" allowed: ")[0])
                    for line in str(error).splitlines()
                ]
                told |= {line: str(error) for line in lines if FOREIGN.search(line)}
    assert told == {}


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(ConfigError, match=r"(?s)server\.portt.*log\.durabilty"):
        read(LEAST + "[server]\nportt = 1\n[log]\ndurabilty = 1")


def test_a_missing_file_points_to_the_command_that_writes_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no such file; 'fraud init' writes one"):
        load_settings(tmp_path / "fraud.toml", {})


def test_broken_toml_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "fraud.toml"
    path.write_text("[server\nport = 1\n")
    with pytest.raises(ConfigError, match=r"not valid TOML.*line 1"):
        load_settings(path, {})


def test_the_data_folder_is_relative_to_the_file(tmp_path: Path) -> None:
    path = tmp_path / "fraud.toml"
    path.write_text(LEAST)
    assert load_settings(path, {}).data_dir == (tmp_path / "data").resolve()


@pytest.mark.parametrize(
    "text",
    [
        '[server]\nhost = "::1"',
        '[server]\nhost = "127.8.8.8"',
        '[server]\nhost = "0.0.0.0"\ninsecure = true',
        '[server]\nhost = "0.0.0.0"\n[server.tls]\ncertificate = "c"\nkey = "k"\nclients = "a"',
        '[server]\nhost = "a.example"\nidentities = { file = "i" }\ntls = { certificate = "c", key = "k" }',
        '[monitoring]\nhost = "0.0.0.0"\ninsecure = true',
        '[monitoring]\nhost = "a.example"\ntoken_file = "t"\ntls = { certificate = "c", key = "k" }',
        '[monitoring]\nhost = "a.example"\ntls = { certificate = "c", key = "k", clients = "a" }',
        '[monitoring]\nhost = "0.0.0.0"\nscorer_port = -1\nretrainer_port = -1',
    ],
)
def test_a_host_on_the_network_is_taken_when_it_is_guarded_or_told_not_to_be(text: str) -> None:
    assert read(LEAST + text).models


def test_ports_that_are_off_or_any_free_one_may_be_alike() -> None:
    for port in (-1, 0):
        text = f"[server]\nport = 0\n[monitoring]\nscorer_port = {port}\nretrainer_port = {port}"
        assert read(LEAST + text).monitoring.scorer_port == port


def test_paths_are_meant_from_the_folder_of_the_file() -> None:
    text = LEAST + '[server.identities]\nfile = "i.json"\n[client]\ntoken_file = "/run/token"\nca = "ca.pem"'
    settings = settings_from(tomllib.loads(text), {}, Path("/etc/fraud/fraud.toml"))
    assert settings.server.identities.file == Path("/etc/fraud/i.json")
    assert settings.client.token_file == Path("/run/token")
    assert settings.client.ca == Path("/etc/fraud/ca.pem")
