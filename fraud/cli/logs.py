"""Where the lines of a long-running command go: stderr, as text for people or JSON for machines.

    exception   ─► where in the code it was, and `told` of it: no value that somebody sent
    other logs  ─► libraries' own lines and what nobody caught, by the same rules
    debug       ─► messages as they are

Values of local variables are shown by no renderer, at no level.
"""

import logging
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any

import structlog

from fraud.errors import told

Tell = Callable[[BaseException], str]
"""What is shown of an exception."""


def write_logs(level: str, *, as_json: bool) -> None:
    """Send the logs of this process to stderr as `send_logs` does, and what nobody caught with them."""
    send_logs(level, as_json=as_json)
    _take_what_nobody_caught()


def send_logs(level: str, *, as_json: bool) -> None:
    """Send the logs of this process to stderr, from `level` (debug, info, warning, error) on."""
    tell: Tell = str if level == "debug" else told
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if as_json
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _Errors(tell),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        # Looked up at each line: whoever redirects stderr later is obeyed.
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=logging.WARNING, handlers=[_Others(whole=level == "debug")], force=True)


def trace_of(error: BaseException, tell: Tell) -> str:
    """Return where an exception and those behind it were raised: files, lines and code, no values."""
    behind = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    before = "" if behind is None else f"{trace_of(behind, tell)}\n\nand then:\n\n"
    frames = "".join(traceback.format_tb(error.__traceback__))
    return f"{before}{frames}{type(error).__qualname__}: {tell(error)}"


class _Errors:
    """Turns the exceptions of a line into text."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell

    def __call__(self, _logger: Any, _method: str, line: structlog.typing.EventDict) -> Any:
        given = line.pop("exc_info", None)
        error = given[1] if isinstance(given, tuple) else given
        if error is True:
            error = sys.exception()
        for name, value in line.items():
            if isinstance(value, BaseException):
                line[name] = self._tell(value)
        if isinstance(error, BaseException):
            line["exception"] = trace_of(error, self._tell)
        return line


class _Others(logging.Handler):
    """Takes the lines of libraries; those of asyncio quote exceptions, and arguments may be anything."""

    def __init__(self, *, whole: bool) -> None:
        super().__init__()
        self._whole = whole

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line; without debug it is the part that was written in the library's code."""
        text = record.getMessage() if self._whole else str(record.msg).partition("\n")[0]
        log = structlog.get_logger(record.name)
        log.log(record.levelno, text, logger=record.name, exc_info=record.exc_info or None)


def _take_what_nobody_caught() -> None:
    """Log what ends a thread or the process, in place of Python's own traceback."""
    log = structlog.get_logger("fraud")

    def ended(_kind: type[BaseException], error: BaseException, _trace: Any) -> None:
        log.error("the process ends by an unexpected error", exc_info=error)

    def thread_ended(given: threading.ExceptHookArgs) -> None:
        thread = None if given.thread is None else given.thread.name
        log.error("a thread ended by an unexpected error", thread=thread, exc_info=given.exc_value)

    sys.excepthook = ended
    threading.excepthook = thread_ended
