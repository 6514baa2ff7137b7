"""Turns what the validator found into a sentence that names the key, what was given, and what is allowed.

Its own words are of Python ("Input should be a valid dictionary"), so none of them is shown: `_WANTED` has
ours for each kind of finding that a configuration can cause, and a test tries every key.
"""

import difflib
from collections.abc import Mapping
from typing import Any, Final, get_args

from pydantic import BaseModel, ValidationError

from fraud.settings.spelling import spelled

_TABLE: Final = "is no table; write its keys in one, like {{ key = value }}"
_WHOLE: Final = "is no whole number; write one like 10"
_NUMBER: Final = "is no number; write one like 0.5"
_TRUTH: Final = "is neither true nor false; write one of both, without quotes"
_WANTED: Final = {
    "model_type": _TABLE,
    "dict_type": _TABLE,
    "tuple_type": "is no list; write its values in [ ]",
    "bool_type": _TRUTH,
    "bool_parsing": _TRUTH,
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_parsing_size": _WHOLE,
    "int_from_float": _WHOLE,
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "finite_number": _NUMBER,
    "string_type": "is no text; write it in quotes",
    "path_type": "is no path; write it in quotes",
    "literal_error": "is not known here; write {expected}",
    "greater_than": "is too small; write more than {gt}",
    "greater_than_equal": "is too small; write {ge} or more",
    "less_than": "is too large; write less than {lt}",
    "less_than_equal": "is too large; write {le} or less",
    "string_too_short": "is too short; write at least {min_length} characters",
    "string_too_long": "is too long; write at most {max_length} characters",
    "too_short": "has too few entries; give at least {min_length}",
    "too_long": "has too many entries; give at most {max_length}",
}
"""By pydantic's name of a finding; what is in braces comes with it."""
_FORMS: Final = {"currency": "is no currency code; write three capital letters like 'EUR'"}
"""What a text of a certain pattern is, by key."""
_OTHERS: Final = "cannot be taken; 'fraud init' writes a configuration with every key"


def findings(error: ValidationError) -> list[Any]:
    """Return what the validator found, without what only follows from it: wrong entries are not counted."""
    found: list[Any] = list(error.errors())
    return [it for it in found if it["type"] != "too_short" or len(it["input"]) < it["ctx"]["min_length"]]


def describe(problem: Any, root: type[BaseModel], origins: Mapping[tuple[str, ...], str]) -> str:
    """Return `server.portt: unknown key; did you mean 'port'? allowed: …` for one finding.

    `problem` is one of pydantic's `ValidationError.errors()`; `root` is the
    class the keys belong to; `origins` names the environment variable behind a
    key. A secret is never shown.
    """
    steps = [step for step in problem["loc"] if step != "[key]" and not str(step).startswith("function-")]
    where = ".".join(str(step) for step in steps)
    variable = origins.get(tuple(str(step) for step in steps))
    if variable is not None:
        where += f" (from {variable})"
    if problem["type"] == "extra_forbidden":
        allowed = _allowed(root, steps[:-1])
        near = difflib.get_close_matches(str(steps[-1]), allowed, n=1)
        hint = f"did you mean '{near[0]}'? " if near else ""
        return f"{where}: unknown key; {hint}allowed: {', '.join(allowed)}"
    if problem["type"] == "missing":
        return f"{where}: is required and not given"
    text = _text(problem, str(steps[-1]) if steps else "")
    return f"{where}: {text}" if where else text


def _text(problem: Any, key: str) -> str:
    """Say what is wrong with the value of a key."""
    if problem["type"] == "value_error":
        return str(problem["ctx"]["error"])  # ours
    form = _FORMS.get(key) if problem["type"] == "string_pattern_mismatch" else _WANTED.get(problem["type"])
    given = "what is given" if key == "key" else spelled(problem["input"])
    bounds = {name: f"{it:g}" if isinstance(it, float) else it for name, it in problem.get("ctx", {}).items()}
    return f"{given} {(form or _OTHERS).format(**bounds)}"


def _allowed(root: type[BaseModel], steps: list[Any]) -> list[str]:
    """Keys of the section that `steps` lead to."""
    section: type[BaseModel] = root
    for step in steps:
        if isinstance(step, int):
            continue
        fields = {field.alias or name: field for name, field in section.model_fields.items()}
        if step in fields:
            found = section_in(fields[step].annotation)
            section = found or section
    return [field.alias or name for name, field in section.model_fields.items()]


def section_in(annotation: Any) -> type[BaseModel] | None:
    """Return the section that a key holds, or a table or list of; None where it holds none."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in get_args(annotation):
        found = section_in(inner)
        if found is not None:
            return found
    return None
