"""`[service]`, `[server]` and `[log]`: where it runs and within which limits."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BeforeValidator, Field, field_validator, model_validator

from fraud.clock import DAY_US, SECOND_US
from fraud.settings.access import Bands, Identities, Rates, Tls, TwoPerson, is_loopback
from fraud.settings.durations import PositiveDurationUs
from fraud.settings.section import Name, Section


def _whole_path(given: Any) -> Any:
    """Refuse what a shell would have filled in: an empty variable, a home folder."""
    if isinstance(given, str) and (not given.strip() or given.startswith("~")):
        raise ValueError(f"{given!r} is no folder: write its whole path, or one from the configuration's own")
    return given


class Service(Section):
    """Identity, place and time."""

    name: Name = "payments"
    data_dir: Annotated[Path, BeforeValidator(_whole_path)] = Field(
        default=Path("data"), description="relative to the configuration file"
    )
    entity_key_file: Path | None = Field(
        default=None,
        description="key under which tokens are hashed before they are stored; none: as they are",
    )
    timezone: str = Field(default="UTC", description="for calendar features and card-days")
    currency: str = Field(default="EUR", pattern=r"^[A-Z]{3}$", description="base currency")
    clock: Literal["wall", "log"] = Field(
        default="wall", description='"log": time follows the events (replay, backtest, demo)'
    )

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, zone: str) -> str:
        if zone not in available_timezones():
            raise ValueError(f"{zone!r} is not an IANA time zone; write it like 'Europe/Brussels'")
        return zone

    @property
    def zone(self) -> ZoneInfo:
        """The time zone of calendar features."""
        return ZoneInfo(self.timezone)


class Server(Section):
    """The gRPC server and its limits."""

    host: str = Field(default="127.0.0.1", description="loopback unless you decide otherwise")
    port: int = Field(default=50051, ge=0, le=65_535, description="0: any free port")
    message_bytes_max: int = Field(default=4 * 2**20, ge=2**12, le=2**30)
    batch_rows_max: int = Field(
        default=2_000, ge=1, le=100_000, description="default: less where queue_rows_max is less"
    )
    label_rows_max: int = Field(
        default=10_000, ge=1, le=1_000_000, description="default: less where label_queue_rows_max is less"
    )
    page_size_max: int = Field(default=1_000, ge=1, le=100_000)
    queue_rows_max: int = Field(default=20_000, ge=1)
    wait_max: PositiveDurationUs = Field(
        default=5 * SECOND_US, description="calls that would wait longer are refused, whatever their deadline"
    )
    label_queue_rows_max: int = Field(default=50_000, ge=1, description="labels and outcomes that wait")
    label_calls_max: int = Field(default=100, ge=1, description="calls that bring them, at once")
    label_share: float = Field(
        default=0.2, gt=0, lt=1, description="of the scoring thread, while payments wait too"
    )
    read_calls_max: int = Field(default=100, ge=1, description="queries that wait")
    pending_calls_max: int = Field(
        default=256, ge=1, description="calls of one kind that nobody has looked at"
    )
    keepalive: PositiveDurationUs = Field(
        default=60 * SECOND_US, description="a connection silent for so long is asked whether it lives"
    )
    cores: int = Field(default=1, ge=0, description="CPUs the scoring process keeps to (Linux); 0: all")
    streams_max: int = Field(default=1_000, ge=1, le=100_000, description="calls at once")
    connections_max: int = Field(default=1_000, ge=1, le=100_000, description="of all callers together")
    connection_streams_max: int = Field(
        default=256, ge=1, le=100_000, description="calls at once on one connection, unfinished ones too"
    )
    handshake: PositiveDurationUs = Field(
        default=20 * SECOND_US, description="a connection that has not said what it is by then is closed"
    )
    connection_idle: PositiveDurationUs = Field(
        default=600 * SECOND_US, description="a connection without a call for so long is closed"
    )
    slow_call: PositiveDurationUs = Field(
        default=120 * SECOND_US,
        description="so long calls may last when their connection has reached server.tls.connection_age",
    )
    scoring_rows_max: int = Field(default=512, ge=1, le=65_536, description="in one natural batch")
    drain: PositiveDurationUs = Field(default=10 * SECOND_US, description="grace on SIGTERM")
    self_score_every: PositiveDurationUs = 5 * SECOND_US
    ledger_poll: PositiveDurationUs = Field(default=SECOND_US // 5)
    champion_stale_after: PositiveDurationUs = 60 * DAY_US
    reasons_max: int = Field(default=5, ge=1, le=100)
    reasons_wait_max: PositiveDurationUs = Field(
        default=50_000, description="where reasons would wait longer, an answer that did not ask goes without"
    )
    insecure: bool = Field(
        default=False, description="on a network without TLS and identities, because something else guards it"
    )
    tls: Tls = Tls()
    identities: Identities = Identities()
    bands: Bands = Bands()
    rates: Rates = Rates()
    two_person: TwoPerson = TwoPerson()

    @model_validator(mode="before")
    @classmethod
    def _defaults_fit(cls, given: Any) -> Any:
        """Let the rows of a call that are not given shrink with the queue that is."""
        for rows, queue in (("batch_rows_max", "queue_rows_max"), ("label_rows_max", "label_queue_rows_max")):
            if isinstance(given, dict) and rows not in given and isinstance(given.get(queue), int):
                default = cls.model_fields[rows].default
                given = {**given, rows: max(1, min(default, given[queue]))}
        return given

    @model_validator(mode="after")
    def _calls_fit(self) -> Self:
        """A call that no empty queue takes would be told to try again for ever."""
        for rows, queue, what in (
            ("batch_rows_max", "queue_rows_max", "payments"),
            ("batch_rows_max", "label_queue_rows_max", "outcomes"),
            ("label_rows_max", "label_queue_rows_max", "labels"),
        ):
            asked, room = getattr(self, rows), getattr(self, queue)
            if asked > room:
                raise ValueError(
                    f"{rows}: {asked} {what} in one call never fit into {queue} = {room}; "
                    f"raise {queue} to {asked}, or lower {rows} to {room}"
                )
        return self

    @model_validator(mode="after")
    def _is_guarded(self) -> Self:
        guarded = self.tls.certificate and (self.identities.file or self.tls.clients)
        if not (guarded or self.insecure or is_loopback(self.host)):
            raise ValueError(
                f"host: {self.host} is reached from other machines, so it needs [server.tls] certificate and "
                "[server.identities] file (or [server.tls] clients); or say insecure = true where "
                "something else guards it"
            )
        if self.identities.tokens_bound and (self.identities.file is None or self.tls.clients is None):
            raise ValueError(
                "identities.tokens_bound: callers show no certificates; give [server.tls] clients and "
                "[server.identities] file, or leave it out"
            )
        if self.identities.file is None and self.two_person.methods:
            raise ValueError(
                "two_person.methods: nobody can tell two callers apart without [server.identities] file; "
                "give one, or leave methods empty"
            )
        rates = (self.rates, *self.rates.identities.values())
        if self.identities.file is None and any(it.calls_per_second or it.rows_per_second for it in rates):
            raise ValueError(
                "rates: nobody can tell callers apart without [server.identities] file, so nothing would be "
                "bounded; give one, or leave rates out"
            )
        return self


class Log(Section):
    """The event log and the snapshots of feature state."""

    durability: Literal["fsync", "process"] = Field(
        default="fsync", description='"process": survives a crash of the process, not of the machine'
    )
    idempotency_horizon: PositiveDurationUs = 35 * DAY_US
    snapshot_every_events: int = Field(default=500_000, ge=1_000)
    snapshots_kept: int = Field(default=2, ge=1, le=100)
    prune_every: PositiveDurationUs = 60 * SECOND_US
