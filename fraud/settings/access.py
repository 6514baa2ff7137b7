"""Who may call, as whom, how much, and what they see: the tables below `[server]`, and `[client]`."""

from ipaddress import ip_address
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Final, Literal, Self, get_args

from pydantic import BeforeValidator, Field, model_validator

from fraud.clock import DAY_US, HOUR_US, SECOND_US
from fraud.settings.durations import PositiveDurationUs
from fraud.settings.section import Name, Section

Role = Literal["scorer", "analyst", "operator", "auditor"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)
TwoPersonMethod = Literal["Promote", "Rollback", "ExcludeData"]


def check_identity_name(name: object) -> str:
    """Return a name that an identity may have: it stands in logs and in the ledger.

    Raises:
        ValueError: it is none, or one that the service signs with itself.
    """
    plain = isinstance(name, str) and name.isascii() and name[:1].isalnum() and len(name) <= 64
    if not (isinstance(name, str) and plain and all(letter.isalnum() or letter in "._@-" for letter in name)):
        raise ValueError(f"{name!r} is no name of an identity; use 1 to 64 letters, digits and . _ @ -")
    if name in ("retrainer", "probation", "import"):
        raise ValueError(f"{name!r} is what the service signs with itself; take another name")
    return name


IdentityName = Annotated[str, BeforeValidator(check_identity_name)]


class TlsFiles(Section):
    """The certificate of a server, its key, and who signs those who come. Read again when they change."""

    certificate: Path | None = Field(default=None, description="PEM, with its chain; none: no TLS")
    key: Path | None = Field(default=None, description="PEM, readable by the service alone")
    clients: Path | None = Field(
        default=None, description="PEM of who signs client certificates; given, every caller must show one"
    )

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            given, missing = ("certificate", "key") if self.key is None else ("key", "certificate")
            raise ValueError(f"{missing}: is not given, but {given} is; give both or neither")
        if self.clients is not None and self.certificate is None:
            raise ValueError("certificate: is not given, but clients is; the server needs one of its own")
        return self


class Tls(TlsFiles):
    """TLS of the gRPC server. The files are read again when they change; new connections then have them."""

    connection_age: PositiveDurationUs = Field(
        default=HOUR_US, description="then a connection is made anew, and its certificates are checked again"
    )


class Identities(Section):
    """The file of identities (`fraud token`); without one every caller may do everything."""

    file: Path | None = Field(
        default=None, description="written by 'fraud token add'; none: identities are off"
    )
    reload_every: PositiveDurationUs = Field(default=SECOND_US, description="looks whether the file changed")
    life: PositiveDurationUs = Field(default=90 * DAY_US, description="of a new token, unless it is told")
    raw_scores: tuple[Role, ...] = Field(
        default=("analyst", "operator", "auditor"), description="roles that see scores; others see bands"
    )
    tokens_bound: bool = Field(
        default=False, description="a token is good only beside a certificate of the same identity"
    )
    reflection: bool = Field(default=False, description="list the methods to whoever has a role")
    sources: dict[IdentityName, Annotated[tuple[Name, ...], Field(min_length=1)]] = Field(
        default={}, description="label sources that an identity may hand in, by its name; one not named: any"
    )

    @model_validator(mode="after")
    def _bind_somebody(self) -> Self:
        if self.sources and self.file is None:
            raise ValueError(
                "sources: nobody can tell who hands labels in without file; give one, or leave sources out"
            )
        return self


class Bands(Section):
    """Risk scores from which on a band begins; below the first it is LOW."""

    medium: int = Field(default=700, ge=1, le=999)
    high: int = Field(default=950, ge=1, le=999)
    very_high: int = Field(default=990, ge=1, le=999)

    @model_validator(mode="after")
    def _rise(self) -> Self:
        cuts = (self.medium, self.high, self.very_high)
        if any(low >= high for low, high in pairwise(cuts)):
            raise ValueError(f"medium, high, very_high: {cuts} must rise from one to the next")
        return self


class Rate(Section):
    """What one identity may ask for, over time and at once; 0: as much as it likes."""

    calls_per_second: float = Field(default=0.0, ge=0, le=1e6)
    rows_per_second: float = Field(default=0.0, ge=0, le=1e7, description="payments, labels, outcomes")
    burst: PositiveDurationUs = Field(default=SECOND_US, description="so long's worth may come at once")


class Rates(Rate):
    """The limits of every identity, and those of some by name."""

    identities: dict[IdentityName, Rate] = Field(default={})

    def of(self, name: str) -> Rate:
        """Return the limits of one identity."""
        return self.identities.get(name, self)


class TwoPerson(Section):
    """What one operator asks for and another carries out."""

    methods: tuple[TwoPersonMethod, ...] = ()
    expires: PositiveDurationUs = Field(
        default=4 * HOUR_US, le=30 * DAY_US, description="until then the second must have come"
    )


class ClientSection(Section):
    """How the command line shows itself to the server, and whom it believes to be the server."""

    token_file: Path | None = Field(default=None, description="holds one token; or the variable FRAUD_TOKEN")
    ca: Path | None = Field(default=None, description="PEM of who signs the server; given, the call is TLS")
    certificate: Path | None = Field(default=None, description="PEM of our own, where the server wants one")
    key: Path | None = None
    server_name: str = Field(default="", max_length=253, description="in its certificate, where not the host")

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            given, missing = ("certificate", "key") if self.key is None else ("key", "certificate")
            raise ValueError(f"{missing}: is not given, but {given} is; give both or neither")
        return self


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches a host.

    >>> [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "127.evil.example")]
    [True, True, True, False, False]
    """
    if host == "localhost":
        return True
    try:
        return ip_address(host.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return False
