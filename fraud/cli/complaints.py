"""What is said on stderr of an error: one line for people, or one JSON object for machines.

    {"error": id of its class, "message": what people read,
     "field" and "remedy": where they are known, "traceback": of what nobody foresaw}

The ids are those of `fraud.errors`, and beside them USAGE (the command line), SYSTEM (a file, the
disk), ABORTED and INTERNAL.
"""

import traceback
from typing import Any, Final

import typer

from fraud.errors import ConfigError, FraudError, InvalidInput, Unavailable

_NOT_RUNNING: Final = "is 'fraud up' running? see 'fraud doctor'"
_IT_RUNS: Final = "the scorer is "
"""So begins what a running one says of itself: that it restores its state, or drains."""
_FILES: Final = "check the path, the disk and who may use them"


def line_of(error: FraudError | OSError) -> str:
    """Return an error as people read it.

    >>> line_of(Unavailable("127.0.0.1:50051 does not answer"))
    "fraud: 127.0.0.1:50051 does not answer; is 'fraud up' running? see 'fraud doctor'"
    """
    hint = _FILES if isinstance(error, OSError) else _hint(error)
    return f"fraud: {error}; {hint}" if hint else f"fraud: {error}"


def document_of(error: BaseException) -> dict[str, Any]:
    """Return an error as machines read it.

    >>> document_of(InvalidInput("--at", "'now' is no time", "write it like 2026-03-01T12:00:00Z"))["field"]
    '--at'
    >>> document_of(OSError(2, "No such file or directory", "a.csv"))["error"]
    'SYSTEM'
    """
    if isinstance(error, typer.TyperException):
        found = _usage(error)
    elif isinstance(error, typer.Abort):
        found = {"error": "ABORTED", "message": "it was broken off"}
    elif isinstance(error, OSError):
        found = {"error": "SYSTEM", "message": str(error), "field": error.filename, "remedy": _FILES}
    elif isinstance(error, FraudError):
        found = {"error": error.code, "message": str(error), **_known(error)}
    else:
        lines = traceback.format_exception(error)
        found = {"error": "INTERNAL", "message": lines[-1].strip(), "traceback": "".join(lines)}
    return {name: value for name, value in found.items() if value}


def _known(error: FraudError) -> dict[str, str]:
    if isinstance(error, InvalidInput):
        return {"field": error.field, "remedy": error.remedy}
    if isinstance(error, ConfigError):
        return {"field": error.field}
    return {"remedy": _hint(error)}


def _hint(error: FraudError) -> str:
    silent = isinstance(error, Unavailable) and not str(error).startswith(_IT_RUNS)
    return _NOT_RUNNING if silent else ""


def _usage(error: Any) -> dict[str, str]:
    """What is wrong with the command line; which option, as far as the parser says."""
    context, parameter = getattr(error, "ctx", None), getattr(error, "param", None)
    command = "fraud" if context is None else context.command_path
    # Asked for nothing, the parser answers with all of its help.
    nothing = type(error).__name__ == "NoArgsIsHelpError"
    message = f"'{command}' needs a command" if nothing else error.format_message()
    field = getattr(error, "option_name", None) or (parameter.opts[0] if parameter is not None else "")
    return {"error": "USAGE", "message": message, "field": field, "remedy": f"see '{command} --help'"}


def status_of(error: BaseException) -> int:
    """Return the exit status that an error ends the command line with."""
    if isinstance(error, typer.TyperException):
        return error.exit_code
    return 2 if isinstance(error, ConfigError | InvalidInput) else 1
