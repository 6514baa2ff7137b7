"""How a client shows itself, and whom it believes to be the server.

token              who calls: sent with each call, never over a network in clear
TLS                who signs the server's certificate; a certificate of our own where it wants one
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fraud.errors import ConfigError
from fraud.settings.access import ClientSection

TOKEN_VARIABLE = "FRAUD_TOKEN"


@dataclass(frozen=True, slots=True)
class Tls:
    """`ca` is PEM of who signs the server's certificate, empty for the roots gRPC knows.

    `certificate` and `key` are PEM of our own, empty for none. `server_name`
    is the name in the server's certificate, where it is not the host.
    """

    ca: bytes = b""
    certificate: bytes = b""
    key: bytes = field(default=b"", repr=False)
    server_name: str = ""


@dataclass(frozen=True, slots=True)
class Credentials:
    """A token ("" for none), and TLS (None: in clear)."""

    token: str = field(default="", repr=False)
    tls: Tls | None = None

    @property
    def tell_who(self) -> bool:
        """True when the server can tell who we are, so that nobody has to sign by hand."""
        return bool(self.token or (self.tls is not None and self.tls.certificate))


def credentials_of(settings: ClientSection, environment: Mapping[str, str]) -> Credentials:
    """Return what `[client]` and the variable FRAUD_TOKEN give; the variable comes first.

    Raises:
        ConfigError: a file cannot be read, or holds no token.
    """
    token = environment.get(TOKEN_VARIABLE, "").strip()
    if not token and settings.token_file is not None:
        token = _read("token_file", settings.token_file).decode("utf-8", "replace").strip()
    if any(not ("!" <= letter <= "~") for letter in token):
        raise ConfigError(
            f"client.token_file, {TOKEN_VARIABLE}: what is given is no token; 'fraud token add' shows one"
        )
    ca, own = settings.ca, settings.certificate
    tls = None
    if ca is not None or own is not None or settings.server_name:
        tls = Tls(
            _read("ca", ca) if ca is not None else b"",
            _read("certificate", own) if own is not None else b"",
            _read("key", settings.key) if settings.key is not None else b"",
            settings.server_name,
        )
    return Credentials(token, tls)


def _read(name: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"client.{name}: {path}: {error.strerror}; give a file that you may read") from None
