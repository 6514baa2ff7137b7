"""Reads `fraud.toml` and the environment into one frozen `Settings`.

file → tables → environment overrides → checks of each section → checks across sections
"""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from itertools import combinations
from pathlib import Path
from typing import Any, Self, TypeVar

from pydantic import Field, ValidationError, model_validator

from fraud.documents import read_bounded, read_toml
from fraud.errors import ConfigError
from fraud.settings.access import ClientSection
from fraud.settings.attacks import Attacks
from fraud.settings.durations import UNITS_REQUIRED
from fraud.settings.environment import override
from fraud.settings.features import Features
from fraud.settings.guard import Guard
from fraud.settings.learning import Gate, GateSettings, Import, Labels, Training
from fraud.settings.model import ModelSettings, Target
from fraud.settings.monitoring import Monitoring
from fraud.settings.places import Places
from fraud.settings.problems import describe, findings
from fraud.settings.retention import Retention
from fraud.settings.rules import Rules
from fraud.settings.schema import Schema
from fraud.settings.section import Name, Section
from fraud.settings.sentinels import Sentinels
from fraud.settings.server import Log, Server, Service

Anchored = TypeVar("Anchored", bound=Section)


class Settings(Section):
    """The whole configuration of one service."""

    service: Service = Service()
    schema_: Schema = Field(alias="schema")
    features: Features = Features()
    models: dict[Name, ModelSettings] = Field(min_length=1, max_length=64)
    labels: Labels = Labels()
    training: Training = Training()
    gate: GateSettings = Gate()
    sentinels: Sentinels = Sentinels()
    attacks: Attacks = Attacks()
    guard: Guard = Guard()
    rules: Rules = Rules()
    server: Server = Server()
    client: ClientSection = ClientSection()
    log: Log = Log()
    retention: Retention = Retention()
    monitoring: Monitoring = Monitoring()
    import_: Import | None = Field(default=None, alias="import")

    @property
    def data_dir(self) -> Path:
        """Absolute path of the data folder."""
        return self.service.data_dir

    @property
    def places(self) -> Places:
        """Where the parts of the data folder are."""
        return Places.under(self.data_dir)

    @property
    def sentinel_source(self) -> str:
        """The label source that confirms sentinels."""
        return self.sentinels.source or self.labels.sources[0]

    @property
    def trigger_sources(self) -> tuple[str, ...]:
        """The label sources that may start an emergency retrain."""
        return self.training.triggers.sources or self.labels.sources[:1]

    @property
    def new_entities(self) -> tuple[str, ...]:
        """The entities whose new ones are a slice of the gate; their age is a feature."""
        given = self.gate.slices.new_entities
        return self._aged if given is None else given

    @property
    def _aged(self) -> tuple[str, ...]:
        return tuple(name for name, entity in self.features.entities.items() if "first" in entity.since)

    def categoricals_of(self, model: str) -> tuple[str, ...]:
        """Return the categorical fields that a model reads, in the schema's order."""
        patterns = self.models[model].categoricals
        names = self.schema_.categorical_names
        return tuple(name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns))

    @property
    def slice_fields(self) -> tuple[str, ...]:
        """The categorical fields whose values are slices of the gate, in the schema's order."""
        patterns = self.gate.slices.fields
        return tuple(
            name
            for name, field in self.schema_.categorical.items()
            if not field.personal and any(fnmatchcase(name, pattern) for pattern in patterns)
        )

    @property
    def embargo_us(self) -> int:
        """Gap between training rows and the rows that judge them, µs."""
        embargo = self.training.embargo
        return self.labels.maturity if embargo is None else embargo

    @property
    def probation_us(self) -> int:
        """How long a promoted version is on probation, µs; 0: it is not."""
        probation = self.gate.probation
        return (probation.length or self.labels.maturity) if probation.enabled else 0

    @property
    def shadow_challengers(self) -> int:
        """How many challengers may score in shadow; one at least where a promotion waits for it."""
        return max(self.gate.shadow.challengers, self.gate.mode == "shadow")

    @model_validator(mode="after")
    def _policies_may_alert(self) -> Self:
        most = self.gate.alerts_max
        for name, model in self.models.items():
            for outcome in ("challenge", "review", "decline"):
                target: Target | None = getattr(model.policy, outcome)
                if target is not None and target.share is not None and target.share >= most:
                    raise ValueError(
                        f"gate.alerts_max: {most:g} of traffic would refuse every version of {name}, whose "
                        f"policy.{outcome}.share is {target.share:g}; set it well above that"
                    )
        return self

    @model_validator(mode="after")
    def _ports_differ(self) -> Self:
        ports = {
            "server.port": self.server.port,
            "monitoring.scorer_port": self.monitoring.scorer_port,
            "monitoring.retrainer_port": self.monitoring.retrainer_port,
        }
        for (key, port), (other, taken) in combinations(ports.items(), 2):
            if port == taken and port > 0:
                raise ValueError(f"{key}: is {port}, and so is {other}; give each a port of its own")
        return self

    @model_validator(mode="after")
    def _references_exist(self) -> Self:
        entities = self.schema_.entity_names
        _known("features.entities", self.features.entities, entities)
        for name, entity in self.features.entities.items():
            others = [other for other in entities if other != name]
            _known(f"features.entities.{name}.distinct", entity.distinct, others)
        for name, model in self.models.items():
            _match(f"models.{name}.categoricals", model.categoricals, self.schema_.categorical_names)
            _not_personal(f"models.{name}.categoricals", model.categoricals, self.schema_.personal_names)
            budgets = model.policy.exploration.entity_budget_minor
            _known(f"models.{name}.policy.exploration.entity_budget_minor", budgets, entities)
        plain = [name for name, field in self.schema_.categorical.items() if not field.personal]
        _match("gate.slices.fields", self.gate.slices.fields, plain)
        _known("gate.slices.new_entities", self.gate.slices.new_entities or (), entities)
        for name in self.new_entities:
            if name not in self._aged:
                raise ValueError(
                    f'gate.slices.new_entities: the age of {name} is no feature; add since = ["first"] to '
                    f"[features.entities.{name}]"
                )
        age_max = self.features.age_max
        if self.new_entities and age_max is not None and age_max < self.gate.slices.new_within:
            raise ValueError(
                "features.age_max: is shorter than gate.slices.new_within, so every entity would be new; "
                "raise it, or lower that"
            )
        self._attacks_fit()
        fresh = self.training.fresh
        if fresh is not None and fresh.entity is not None:
            _known("training.fresh.entity", [fresh.entity], entities)
        if self.guard.entity_share.entity:
            _known("guard.entity_share.entity", [self.guard.entity_share.entity], entities)
        _known("sentinels.source", [self.sentinel_source], self.labels.sources)
        for name, sources in self.server.identities.sources.items():
            _known(f"server.identities.sources.{name}", sources, self.labels.sources)
        self._reactions_fit()
        if self.retention.rollback_within < self.log.idempotency_horizon:
            raise ValueError(
                "retention.rollback_within: is shorter than log.idempotency_horizon, but a repeated "
                "transaction is answered with the reasons of the version that decided it; keep bundles longer"
            )
        if self.import_ is not None:
            _known("import.model", [self.import_.model], list(self.models))
            _known("import.entities", self.import_.entities, entities)
            _known("import.numeric", self.import_.numeric, self.schema_.numeric_names)
            _known("import.categorical", self.import_.categorical, self.schema_.categorical_names)
            _known("import.label_source", [self.import_.label_source], self.labels.sources)
        return self

    def _reactions_fit(self) -> None:
        """Refuse unknown entities and sources, and a trigger that waits for what nobody finds."""
        probing, triggers = self.monitoring.probing, self.training.triggers
        for name in ("ladder", "trial", "declines", "small"):
            chosen = getattr(probing, name).entities or ()
            _known(f"monitoring.probing.{name}.entities", chosen, self.schema_.entity_names)
        _known("training.triggers.sources", triggers.sources or (), self.labels.sources)
        if triggers.probing and not probing.enabled:
            raise ValueError(
                "training.triggers.probing: waits for findings, but monitoring.probing.enabled is false; "
                "switch that on, or leave the trigger out"
            )

        if triggers.value_detection is not None and len(self.monitoring.quality_windows) < 2:
            raise ValueError(
                "training.triggers.value_detection: holds the shortest of monitoring.quality_windows against "
                "the rest of the longest, and there is one; give another, or leave the trigger out"
            )

    def _attacks_fit(self) -> None:
        """Refuse control over what the schema does not have."""
        given, schema = self.attacks, self.schema_
        _known("attacks.entities", given.entities or {}, schema.entity_names[1:])
        _known("attacks.categorical", given.categorical or {}, schema.categorical_names)
        _known("attacks.numeric", given.numeric, schema.numeric_names)
        fields = (*schema.categorical_names, *schema.numeric_names)
        for name, entity in (given.entities or {}).items():
            _known(f"attacks.entities.{name}.brings", entity.brings, fields)
        for table in (given.entities, given.categorical, given.numeric):
            for name, control in (table or {}).items():
                _known(f"attacks.{name}.sets", control.sets, schema.numeric_names)


def _known(where: str, names: Any, allowed: Any) -> None:
    unknown = [name for name in names if name not in allowed]
    if unknown:
        raise ValueError(f"{where}: unknown {', '.join(unknown)}; allowed: {', '.join(allowed) or 'none'}")


def _match(where: str, patterns: Any, allowed: Any) -> None:
    for pattern in patterns:
        if pattern != "*" and not any(fnmatchcase(name, pattern) for name in allowed):
            raise ValueError(f"{where}: {pattern!r} matches nothing; allowed: {', '.join(allowed) or 'none'}")


def _not_personal(where: str, patterns: Any, personal: Any) -> None:
    for pattern in patterns:
        taken = [name for name in personal if fnmatchcase(name, pattern)]
        if taken:
            raise ValueError(
                f"{where}: {pattern!r} takes in {', '.join(taken)}, marked personal; such a field is blanked "
                "when its person is erased, so no model may use it: name the other fields"
            )


def load_settings(path: Path, environment: Mapping[str, str]) -> Settings:
    """Read the file, apply the environment, check everything.

    Raises:
        ConfigError: the file is missing, is no TOML, or names something unknown
            or out of bounds; the message names each key, what is wrong, and
            what is allowed.
    """
    try:
        tables = read_toml(read_bounded(path).decode("utf-8-sig"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; 'fraud init' writes one") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None
    return settings_from(tables, environment, path)


def settings_from(tables: dict[str, Any], environment: Mapping[str, str], path: Path) -> Settings:
    """Build settings from parsed tables; `path` names the source and anchors relative paths.

    Raises:
        ConfigError: as `load_settings`.
    """
    merged, origins = override(tables, environment, Settings)
    try:
        settings = Settings.model_validate(merged, context=UNITS_REQUIRED)
    except ValidationError as error:
        problems = [describe(problem, Settings, origins) for problem in findings(error)]
        text = f" {problems[0]}" if len(problems) == 1 else "".join(f"\n  {line}" for line in problems)
        field = problems[0].partition(": ")[0] if len(problems) == 1 else ""
        raise ConfigError(f"{path}:{text}", field=field) from None
    server = settings.server
    tls, identities = _anchored(server.tls, path.parent), _anchored(server.identities, path.parent)
    monitoring = _anchored(settings.monitoring, path.parent)
    readers = _anchored(monitoring.tls, path.parent)
    return settings.model_copy(
        update={
            "monitoring": monitoring.model_copy(update={"tls": readers}),
            "service": _anchored(settings.service, path.parent),
            "server": server.model_copy(update={"tls": tls, "identities": identities}),
            "client": _anchored(settings.client, path.parent),
        }
    )


def _anchored(section: Anchored, folder: Path) -> Anchored:
    """Return a section whose paths are absolute; relative ones are meant from `folder`."""
    paths = {name: (folder / it).resolve() for name, it in section if isinstance(it, Path)}
    return section.model_copy(update=paths)
