"""`fraud init`: writes a commented configuration to start from."""

import enum
from importlib import resources
from typing import Annotated

import typer

from fraud.cli.shell import shell_of
from fraud.errors import NotAllowedNow


class Example(enum.StrEnum):
    """The configurations that come with the package."""

    CARDS = "cards"
    HANDBOOK = "handbook"


_FILES = {Example.CARDS: "example.toml", Example.HANDBOOK: "handbook.toml"}


def init(
    ctx: typer.Context,
    example: Annotated[
        Example, typer.Option(help="cards: two models, every setting explained; handbook: the public data.")
    ] = Example.CARDS,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
) -> None:
    """Write a commented configuration to the file that --config names."""
    shell = shell_of(ctx)
    text = resources.files("fraud.settings").joinpath(_FILES[example]).read_text(encoding="utf-8")
    if shell.config.exists() and not force:
        raise NotAllowedNow(f"{shell.config} exists already; --force overwrites it")
    shell.config.write_text(text, encoding="utf-8")
    written = str(shell.config)
    shell.show({"written": written, "example": example}, f"{written} written; next: fraud doctor, fraud up")
