"""How a value of the configuration is shown to whoever wrote it: as in the file, and not too long."""

_LENGTH_MAX = 80


def spelled(value: object) -> str:
    """Return a value as TOML has it, its beginning where it is long.

    >>> spelled(True), spelled("a"), spelled([1, "b"]), spelled({"a": 1})
    ('true', "'a'", "[1, 'b']", 'a table')
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list | tuple):
        return _shortened(f"[{', '.join(map(spelled, value))}]")
    return _shortened(repr(value) if isinstance(value, str | int | float) else str(value))


def _shortened(text: str) -> str:
    return text if len(text) <= _LENGTH_MAX else f"{text[:_LENGTH_MAX]}…"
