"""What every section of `fraud.toml` has in common: frozen, and no unknown keys."""

import re
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict

from fraud.settings.spelling import spelled

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


def _check_name(name: object) -> str:
    if isinstance(name, str) and _NAME.fullmatch(name):
        return name
    raise ValueError(f"{spelled(name)} is not a name; use 1 to 40 of a-z, 0-9 and _, starting with a letter")


Name = Annotated[str, BeforeValidator(_check_name)]


class Section(BaseModel):
    """A table of the configuration file."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
