"""Reads a file of rules: TOML, a `[[rule]]` table for each."""

from pathlib import Path
from typing import TYPE_CHECKING

from fraud.documents import read_bounded, read_toml
from fraud.errors import InvalidInput

if TYPE_CHECKING:
    from fraud.policy.rules import RuleSet
    from fraud.settings import Settings


def read_rules(path: Path, settings: "Settings") -> "RuleSet":
    """Return the rules of a file in its order, checked against the configuration.

    Raises:
        InvalidInput: the file cannot be read or is no TOML, or a rule does not fit; by its name.
        LimitExceeded: there are more rules, or longer conditions, than [rules] allows.
    """
    from fraud.features.spec import FeatureSpec
    from fraud.policy.rule_columns import RuleColumns
    from fraud.policy.rule_language import CompiledRules
    from fraud.policy.rules import rule_set

    try:
        tables = read_toml(read_bounded(path).decode("utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(str(path), f"cannot be read: {error}", "check the file") from None
    except ValueError as error:
        raise InvalidInput(str(path), f"is no TOML: {error}", "mend it there") from None
    unknown = sorted(tables.keys() - {"rule"})
    given = tables.get("rule", [])
    if unknown or not isinstance(given, list) or not all(isinstance(table, dict) for table in given):
        what = f"has an unknown key {unknown[0]!r}" if unknown else "has a `rule` that is no list of tables"
        raise InvalidInput(str(path), what, "write each rule as a [[rule]] table")
    limits = settings.rules
    rules = rule_set(given, rules_max=limits.rules_max, length_max=limits.expression_length_max)
    CompiledRules.of(rules, RuleColumns.of(FeatureSpec.of(settings), settings.schema_))
    return rules
