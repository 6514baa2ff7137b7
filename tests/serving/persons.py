"""A small service whose payments carry personal fields, and one customer to look for."""

from pathlib import Path

from fraud.records import Label, LabelValue
from fraud.settings import Settings, load_settings
from fraud.v1.transaction_pb2 import Transaction
from tests.serving.worlds import CONFIG, Stream

TOKEN = "tok-of-ann-8f2c"
EMAIL = "ann.example@mail.invalid"
REMARK = "ann called from her new flat"
DEVICE = "device-only-ann-has"
SHARED_DEVICE = "device-of-the-family"
BACKUP = "/mnt/backup/nightly"
SECRETS = tuple(word.encode() for word in (TOKEN, EMAIL, REMARK, DEVICE))

PERSONAL = (
    CONFIG.replace(
        "[schema.entities.device]\nrequired = false",
        "[schema.entities.device]\nrequired = false\npersonal = true",
    )
    .replace(
        "[schema.categorical.channel]\nrequired = true",
        "[schema.categorical.channel]\nrequired = true\n[schema.categorical.email]\npersonal = true",
    )
    .replace("[training]\n", '[training]\narchive_every = "100ms"\n')
    .replace("[models.card]\n", '[models.card]\ncategoricals = ["channel"]\n')
    .replace("[models.transfer]\n", '[models.transfer]\ncategoricals = ["channel"]\n')
) + f'\n[retention]\nbackups = ["{BACKUP}"]\n'


def personal_settings(folder: Path, **environment: str) -> Settings:
    """Write the configuration into `folder` and load it."""
    path = folder / "fraud.toml"
    path.write_text(PERSONAL, encoding="utf-8")
    return load_settings(path, environment)


def take(stream: Stream, rows: int) -> list[Transaction]:
    """Return the next payments; everybody has an address, every tenth is Ann's."""
    wires = stream.take(rows)
    for i, wire in enumerate(wires):
        wire.categoricals["email"] = f"{wire.entities['card']}@mail.invalid"
        if i % 10 == 3:
            wire.entities["card"] = TOKEN
            wire.entities["device"] = SHARED_DEVICE if i % 20 == 3 else DEVICE
            wire.categoricals["email"] = EMAIL
        elif i % 10 == 7:
            wire.entities["device"] = SHARED_DEVICE
    return wires


def verdicts(wires: list[Transaction]) -> list[Label]:
    """Return labels on every fifth payment and on Ann's, commented."""
    return [
        Label(
            wire.transaction_id,
            LabelValue.FRAUD if i % 2 else LabelValue.LEGITIMATE,
            wire.event_time_us,
            REMARK if wire.entities["card"] == TOKEN else "seen",
        )
        for i, wire in enumerate(wires)
        if i % 5 == 3
    ]


def files_with(folder: Path, secrets: tuple[bytes, ...] = SECRETS) -> list[str]:
    """Return the files under a folder whose bytes hold any of the secrets."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            found += [f"{path.relative_to(folder)}: {word.decode()}" for word in secrets if word in content]
    return found
