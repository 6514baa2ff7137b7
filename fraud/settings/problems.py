"""Turns what the validator found into a sentence that names the key and the remedy."""

import difflib
from collections.abc import Mapping
from typing import Any, get_args

from pydantic import BaseModel


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
    text = problem["msg"].removeprefix("Value error, ")
    given = problem.get("input")
    shown = (
        ""
        if isinstance(given, dict | list | tuple)
        or "error" in problem.get("ctx", {})
        or steps[-1:] == ["key"]
        else f" (got {given!r})"
    )
    return f"{where}: {text}{shown}" if where else text


def _allowed(root: type[BaseModel], steps: list[Any]) -> list[str]:
    """Keys of the section that `steps` lead to."""
    section: type[BaseModel] = root
    for step in steps:
        if isinstance(step, int):
            continue
        fields = {field.alias or name: field for name, field in section.model_fields.items()}
        if step in fields:
            found = _section_in(fields[step].annotation)
            section = found or section
    return [field.alias or name for name, field in section.model_fields.items()]


def _section_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in get_args(annotation):
        found = _section_in(inner)
        if found is not None:
            return found
    return None
