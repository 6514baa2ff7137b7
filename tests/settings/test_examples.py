"""The examples load, name every key there is, and show the true defaults."""

import re
import tomllib
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from fraud.settings import Settings, settings_from

# A commented setting is `#key = value` or `#[table]`; prose has a space after the `#`.
COMMENTED = re.compile(r"(?m)^#(?=[a-z_0-9]+ = |\[)")


def text_of(name: str) -> str:
    return resources.files("fraud.settings").joinpath(f"{name}.toml").read_text(encoding="utf-8")


def tables_of(name: str, *, uncomment: bool = False) -> dict[str, Any]:
    text = text_of(name)
    return tomllib.loads(COMMENTED.sub("", text) if uncomment else text)


def keys_of(section: type[BaseModel]) -> dict[str, FieldInfo]:
    return {field.alias or name: field for name, field in section.model_fields.items()}


def sections_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from sections_in(inner)


def sections_below(root: type[BaseModel]) -> set[type[BaseModel]]:
    found = {root}
    for field in root.model_fields.values():
        for section in sections_in(field.annotation):
            found |= sections_below(section)
    return found


def sections_with_values(value: Any, section: type[BaseModel]) -> Iterator[tuple[type[BaseModel], str, Any]]:
    """Every (section, key, value) that stands in the tables."""
    if isinstance(value, str):  # a window written short
        return
    for key, given in value.items():
        yield section, key, given
        field = keys_of(section)[key]
        for inner in sections_in(field.annotation):
            named = isinstance(given, dict) and "dict[" in str(field.annotation)
            children = given.values() if named else given if isinstance(given, list) else [given]
            for child in children:
                yield from sections_with_values(child, inner)


@pytest.mark.parametrize("name", ["example", "handbook"])
def test_an_example_is_a_valid_configuration(name: str) -> None:
    settings = settings_from(tables_of(name), {}, Path("fraud.toml"))
    assert settings.models


def test_the_example_hosts_two_models() -> None:
    settings = settings_from(tables_of("example"), {}, Path("fraud.toml"))
    assert list(settings.models) == ["card", "transfer"]
    assert settings.models["transfer"].policy.review is not None
    assert settings.models["transfer"].policy.review.cost is not None
    assert not settings.schema_.entities["device"].required


def test_the_example_is_valid_with_every_setting_uncommented() -> None:
    settings = settings_from(tables_of("example", uncomment=True), {}, Path("fraud.toml"))
    assert settings.import_ is not None


def test_every_key_there_is_stands_in_the_example() -> None:
    shown = {
        (section, key)
        for section, key, _ in sections_with_values(tables_of("example", uncomment=True), Settings)
    }
    missing = [
        f"{section.__name__}.{key}"
        for section in sorted(sections_below(Settings), key=lambda section: section.__name__)
        for key in keys_of(section)
        if (section, key) not in shown
    ]
    assert not missing, f"fraud/settings/example.toml does not show {', '.join(missing)}"


def test_a_commented_setting_shows_its_default() -> None:
    """Optional keys without a default show an example instead; see the next test."""
    plain = settings_from(tables_of("example"), {}, Path("fraud.toml"))
    full = settings_from(tables_of("example", uncomment=True), {}, Path("fraud.toml"))
    differ = list(differences(plain, full, ""))
    assert not differ, f"fraud/settings/example.toml comments other values than the defaults: {differ}"


def differences(plain: Any, full: Any, where: str) -> Iterator[str]:
    if isinstance(plain, BaseModel):
        for name in type(plain).model_fields:
            yield from differences(getattr(plain, name), getattr(full, name), f"{where}.{name}")
    elif isinstance(plain, dict):
        for name, value in plain.items():
            yield from differences(value, full[name], f"{where}.{name}")
    elif plain is not None and plain != full:
        yield f"{where.removeprefix('.')}: default {plain}, shown {full}"


def test_what_is_no_default_says_what_holds_without_it() -> None:
    plain = settings_from(tables_of("example"), {}, Path("fraud.toml"))
    full = settings_from(tables_of("example", uncomment=True), {}, Path("fraud.toml"))
    lines = lines_by_key(COMMENTED.sub("", text_of("example")))
    examples = list(additions(plain, full, ""))
    unmarked = [key for key in examples if "# unset: " not in lines[key]]
    assert len(examples) > 20
    assert not unmarked, f"fraud/settings/example.toml shows examples as if they were defaults: {unmarked}"


def additions(plain: Any, full: Any, where: str) -> Iterator[str]:
    """Name each setting that has no default but a value here, by the tables it stands in."""
    if isinstance(plain, BaseModel):
        for key, field in type(plain).model_fields.items():
            within = f"{where}.{field.alias or key}"
            yield from additions(getattr(plain, key), getattr(full, key), within)
    elif isinstance(plain, dict):
        for key, value in full.items():
            yield from additions(plain.get(key), value, f"{where}.{key}")
    elif plain is None and full is not None:
        yield where.removeprefix(".")


def lines_by_key(text: str) -> dict[str, str]:
    """Return the line where each table and each key begins; an inline table is one line for all it holds."""
    found: dict[str, str] = {}
    table = ""
    for line in text.splitlines():
        if header := re.match(r"\[([a-z_0-9.]+)\]", line):
            table = header[1]
            found.setdefault(table, line)
            found.setdefault(table.rpartition(".")[0], line)
        elif key := re.match(r"([a-z_0-9]+) = ", line):
            place = f"{table}.{key[1]}"
            found[place] = line
            found |= {f"{place}.{inner}": line for inner in re.findall(r"([a-z_0-9]+) = ", line)[1:]}
    return found


def test_the_handbook_rates_look_where_labels_have_arrived() -> None:
    settings = settings_from(tables_of("handbook"), {}, Path("fraud.toml"))
    assert settings.import_ is not None
    for entity in ("card", "merchant"):
        rates = settings.features.entities[entity].fraud_rates
        assert [rate.name for rate in rates] == ["1d_delay_7d", "7d_delay_7d", "30d_delay_7d"]
        assert all(rate.delay >= settings.import_.label_delay for rate in rates)
    assert settings.labels.maturity == settings.import_.label_delay == settings.embargo_us
