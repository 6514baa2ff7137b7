"""Lays environment variables over the tables of `fraud.toml`.

An environment variable `FRAUD__SERVER__PORT=50052` overrides `port` in
`[server]`: two underscores step into a table. The value is read as TOML where
that works and as a string where it does not; a key that holds text keeps its
text, so a secret of digits stays what it is.
"""

from collections.abc import Mapping
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr

from fraud.documents import read_toml
from fraud.errors import ConfigError

ENVIRONMENT_PREFIX = "FRAUD__"


def override(
    tables: dict[str, Any], environment: Mapping[str, str], root: type[BaseModel]
) -> tuple[dict[str, Any], dict[tuple[str, ...], str]]:
    """Return the tables with the overrides, and which variable set which key.

    `root` is the class the tables belong to; it tells which keys hold text.

    Raises:
        ConfigError: a variable steps into a value as if it were a table.
    """
    merged = _copy(tables)
    origins: dict[tuple[str, ...], str] = {}
    for variable, text in sorted(environment.items()):
        if not variable.startswith(ENVIRONMENT_PREFIX):
            continue
        steps = tuple(variable.removeprefix(ENVIRONMENT_PREFIX).lower().split("__"))
        if not all(steps):
            raise ConfigError(f"{variable}: names no key; write it like {ENVIRONMENT_PREFIX}SERVER__PORT")
        table = merged
        for step in steps[:-1]:
            table = table.setdefault(step, {})
            if not isinstance(table, dict):
                raise ConfigError(f"{variable}: {step!r} is a value, not a table")
        table[steps[-1]] = _read_value(text, keep_text=_holds_text(root, steps))
        origins[steps] = variable
    return merged, origins


def _copy(table: dict[str, Any]) -> dict[str, Any]:
    return {key: _copy(value) if isinstance(value, dict) else value for key, value in table.items()}


def _read_value(text: str, *, keep_text: bool) -> Any:
    try:
        tables = read_toml(f"value = {text}")
    except ValueError:
        return text
    if tables.keys() != {"value"}:  # a line break in the text brought further keys
        return text
    value = tables["value"]
    return text if keep_text and not isinstance(value, str) else value


def _holds_text(root: type[BaseModel], steps: tuple[str, ...]) -> bool:
    """Tell whether the key that `steps` lead to is a string or a secret."""
    annotation: Any = root
    for step in steps:
        annotation = _inside(annotation, step)
    # Of a list or a table of texts the arguments say what it holds, not what it is.
    kinds = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    return any(kind in (str, SecretStr) for kind in kinds)


def _inside(annotation: Any, step: str) -> Any:
    """The annotation of key `step` in a section, or of the values in a table of named sections."""
    if get_origin(annotation) is dict:
        return get_args(annotation)[1]
    for kind in (annotation, *get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            fields = {field.alias or name: field for name, field in kind.model_fields.items()}
            return fields[step].annotation if step in fields else None
    return None
