"""Certificates for tests: an authority, what it signs, and the files of a server with TLS."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from fraud.client import Client, Credentials, Tls
from fraud.serving.identity_desk import IdentityDesk
from tests.serving.worlds import START_S, Process, settings_in

NOW_US = 1_000_000
"""When tests say that credentials were made."""


@dataclass(frozen=True)
class Issued:
    """A certificate and its key, PEM."""

    certificate: bytes
    key: bytes


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@dataclass
class Authority:
    """Signs certificates; its own is `ca`, PEM."""

    name: str = "authority"
    ca: bytes = b""
    _key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def __post_init__(self) -> None:
        self.ca = self._sign(self.name, self._key, days=30, alternative=(), is_authority=True)

    def issue(self, name: str, *, days: int = 30, alternative: Sequence[str] = ()) -> Issued:
        """Sign a certificate that began a week ago; with days below 0 it has expired."""
        key = ec.generate_private_key(ec.SECP256R1())
        signed = self._sign(name, key, days=days, alternative=alternative, is_authority=False)
        return Issued(signed, _pem(key))

    def _sign(
        self,
        name: str,
        key: ec.EllipticCurvePrivateKey,
        *,
        days: int,
        alternative: Sequence[str],
        is_authority: bool,
    ) -> bytes:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=7))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
        )
        if alternative:
            names: list[x509.GeneralName] = [x509.DNSName(it) for it in alternative]
            if "localhost" in alternative:
                names.append(x509.IPAddress(ip_address("127.0.0.1")))
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@dataclass
class Guarded:
    """A folder with a configuration, certificates and identities, and what a server on it needs."""

    folder: Path
    authority: Authority = field(default_factory=Authority)
    tokens: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        settings_in(self.folder)
        self.place(self.authority.issue("fraud", alternative=["localhost"]))
        self.desk = IdentityDesk(self.folder / "identities.json", made_by="a test")

    def place(self, issued: Issued) -> None:
        """Put the server's certificate and key where it looks for them, one after the other."""
        for name, content in (("server.pem", issued.certificate), ("server.key", issued.key)):
            fresh = self.folder / f"{name}.new"
            fresh.write_bytes(content)
            fresh.replace(self.folder / name)

    def add(self, name: str, *rights: str, expires_us: int = 0) -> str:
        """Let an identity in by a token; return the token."""
        made, token = self.desk.add(name, rights, now_us=NOW_US, expires_us=expires_us)
        self.tokens[name] = token
        return made.id

    def environment(self, **more: str) -> Mapping[str, str]:
        """Return what turns on TLS and identities for a server process."""
        return {
            "FRAUD__SERVER__TLS__CERTIFICATE": "server.pem",
            "FRAUD__SERVER__TLS__KEY": "server.key",
            "FRAUD__SERVER__IDENTITIES__FILE": "identities.json",
            "FRAUD__SERVER__IDENTITIES__RELOAD_EVERY": "10ms",
            **more,
        }

    def client(
        self, process: Process, token: str = "", *, own: Issued | None = None, ca: bytes = b""
    ) -> Client:
        """Return a client that shows this token and this certificate, and trusts the authority."""
        tls = Tls(
            ca or self.authority.ca, own.certificate if own else b"", own.key if own else b"", "localhost"
        )
        return Client(process.target, deadline_s=START_S, retries=0, credentials=Credentials(token, tls))

    def as_(self, process: Process, name: str) -> Client:
        """Return a client of an identity that has a token."""
        return self.client(process, self.tokens[name])
