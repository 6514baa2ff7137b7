"""What `fraud doctor` looks at of TLS and identities: do they serve, who reads the key, what ends soon."""

import stat
from collections.abc import Iterator
from pathlib import Path

from fraud.cli.finding import Finding
from fraud.clock import WallClock, format_time
from fraud.settings import Settings
from fraud.settings.access import is_loopback

_CHECK = "access"


def examine_access(settings: Settings) -> Iterator[Finding]:
    """Yield what is found; a file that would keep the server from starting raises ConfigError."""
    server = settings.server
    guarded = server.tls.certificate is not None and server.identities.file is not None
    if guarded or is_loopback(server.host):
        what = "TLS and identities are on" if guarded else f"{server.host} is reached from this machine alone"
        yield Finding(_CHECK, "ok", what)
    else:
        text = f"{server.host} is reached from other machines without both TLS and identities"
        yield Finding(
            _CHECK, "warn", text, "give [server.tls] and [server.identities], or be sure what guards it"
        )
    if server.tls.key is not None:
        yield from _certificates(settings)
    if server.identities.file is not None:
        yield from _identities(settings)
    yield from _readers(settings)
    yield from _entity_key(settings)


def _certificates(settings: Settings) -> Iterator[Finding]:
    from fraud.serving.tls import Certificates

    tls = settings.server.tls
    assert tls.certificate is not None
    assert tls.key is not None
    held = Certificates(tls)
    held.credentials()
    yield Finding(_CHECK, "ok", f"{tls.certificate} and its key fit")
    for what, path in (("certificate", tls.certificate), ("clients", tls.clients)):
        if path is not None and what in held.ends_us:
            yield from _end(settings, path, held.ends_us[what])
    if settings.client.ca is None:
        text = "the server has TLS, and the command line does not know whom to trust"
        yield Finding(_CHECK, "warn", text, "give [client] ca, and server_name where it is not the host")
    mode = stat.S_IMODE(tls.key.stat().st_mode)
    if mode & 0o007:
        yield Finding(
            _CHECK, "warn", f"{tls.key} is open to other users (mode {mode:04o})", f"chmod 600 {tls.key}"
        )


def _end(settings: Settings, certificate: Path, end_us: int) -> Iterator[Finding]:
    """Yield a warning where a certificate ends soon, or has ended."""
    left_us = end_us - WallClock().now_us()
    if left_us < settings.monitoring.alarms.access_left:
        text = f"{certificate} {'ends' if left_us > 0 else 'has ended'} at {format_time(end_us)}"
        yield Finding(_CHECK, "warn", text, "renew it; the scorer reads it again at the next connection")


def _entity_key(settings: Settings) -> Iterator[Finding]:
    from fraud.eventlog.entity_key import EntityKey

    fingerprint = EntityKey.of(settings).fingerprint
    if fingerprint:
        yield Finding(
            _CHECK, "ok", f"tokens are hashed under the entity key {fingerprint}; keep a copy of it"
        )


def _readers(settings: Settings) -> Iterator[Finding]:
    """Yield what is found of those who read metrics, where anybody has to show something."""
    from fraud.monitoring.endpoint import Guard
    from fraud.serving.tls import ends_of

    given = settings.monitoring
    if given.tls.certificate is None and given.token_file is None:
        return
    Guard(given, within_s=0.0)
    yield Finding(_CHECK, "ok", "metrics: certificate, key and token can be used")
    if given.tls.certificate is not None:
        ends = ends_of(given.tls.certificate.read_bytes())
        yield from _end(settings, given.tls.certificate, min(ends)) if ends else ()
    for path in (given.tls.key, given.token_file):
        if path is not None and (mode := stat.S_IMODE(path.stat().st_mode)) & 0o007:
            text = f"{path} is open to other users (mode {mode:04o})"
            yield Finding(_CHECK, "warn", text, f"chmod 600 {path}")


def _identities(settings: Settings) -> Iterator[Finding]:
    from fraud.serving.credentials import last_ends
    from fraud.serving.identities import IdentityFile
    from fraud.serving.identity_desk import IdentityDesk

    given = settings.server.identities
    assert given.file is not None
    IdentityFile(given.file, given.raw_scores)
    now_us = WallClock().now_us()
    rows = IdentityDesk(given.file, made_by="").credentials()
    valid = [it for it in rows if it.standing(now_us) == "valid"]
    operators = {it.name for it in valid if "operator" in it.rights}
    yield Finding(_CHECK, "ok", f"{len(valid)} of {len(rows)} credentials are valid")
    needed = 2 if settings.server.two_person.methods else 1
    if len(operators) < needed:
        text = f"{len(operators)} operators have a valid credential, and {needed} are needed"
        yield Finding(_CHECK, "warn", text, "fraud token add NAME --role operator")
    # Where a later one of the same identity goes on, nobody has to do anything.
    soon_us = now_us + settings.monitoring.alarms.access_left
    ends_us = last_ends(rows)
    for it in rows:
        if 0 < ends_us.get(it.name, 0) <= soon_us and it.expires_us == ends_us[it.name] and not it.revoked_us:
            has = "ends" if it.expires_us > now_us else "has ended"
            text = f"credential {it.id} of {it.name} {has} at {format_time(it.expires_us)}"
            again = f"fraud token rotate {it.id}" if it.digest else it.another()
            yield Finding(_CHECK, "warn", text, f"{again}, or fraud token expire {it.id}")
