"""Loop history: what served when, what each retrain came to, and what it did to quality.

Promotions and rollbacks are marks on every graph.
"""

from deploy.grafana.boards import Board, Section
from deploy.grafana.panels import BLUE, GREEN, MODEL, ORANGE, RED, WINDOW, Query, number, series, states

_SUBJECTS = "champion|first|decisions"

_NOW = Section(
    "Now",
    [
        number(
            "Champion",
            "none",
            "The version that serves. When it is bad: not the one you expect; fraud history says who "
            "asked for it.",
            Query(f"fraud_champion_info{{{MODEL}}}", "{{model}}: {{version}}"),
            by_name=True,
            first=BLUE,
            width=5,
        ),
        number(
            "Age of the champion",
            "s",
            "Since its training cut. When it is bad: beyond server.champion_stale_after; see "
            "FraudChampionStale.",
            Query(f"fraud_champion_age_seconds{{{MODEL}}}", "{{model}}"),
            steps=[(30 * 86_400, ORANGE), (60 * 86_400, RED)],
            width=4,
        ),
        number(
            "Last that ended well",
            "dateTimeFromNow",
            "When a retrain last did. When it is bad: longer ago than twice the schedule; see "
            "FraudRetrainOverdue.",
            Query(f"fraud_retrain_last_success_timestamp_seconds{{{MODEL}}} * 1000", "{{model}}"),
            first=BLUE,
            width=4,
        ),
        number(
            "How the last one ended",
            "none",
            "When it is bad: failed (its log says why) or frozen (fraud guard says why).",
            Query(f"fraud_retrain_last_result{{{MODEL}}} == 1", "{{model}} {{result}}"),
            by_name=True,
            first=BLUE,
            width=4,
        ),
        number(
            "Awaiting approval",
            "none",
            "Versions that passed the gate. When it is bad: for days; fraud report, fraud promote.",
            Query(f"fraud_awaiting_approval_versions{{{MODEL}}}", "{{model}}"),
            steps=[(1, ORANGE)],
        ),
        number(
            "Probation",
            "none",
            "Whether a new champion is watched beside the former one. When it is bad: it rolls back by "
            "itself.",
            Query(f"fraud_probation_active{{{MODEL}}}", "{{model}}"),
            names={"0": ("none", GREEN), "1": ("on", ORANGE)},
            width=4,
        ),
    ],
)

_QUALITY = Section(
    "What it did to quality",
    [
        series(
            "Average precision: champion and never retrained",
            "percentunit",
            "Marks are promotions and rollbacks. When it is bad: the gap closes though promotions go on.",
            Query(
                f'fraud_realised_average_precision{{{WINDOW}, subject=~"{_SUBJECTS}", bound="point"}}',
                "{{model}} {{subject}}",
            ),
            Query(
                f'fraud_realised_average_precision{{{WINDOW}, subject="champion", bound=~"lower|upper"}}',
                "{{model}} {{subject}} {{bound}}",
            ),
            most=1,
            band=True,
            width=12,
        ),
        series(
            "Recall within the budget: champion and never retrained",
            "percentunit",
            "The same for recall. When it is bad: a promotion after which it falls; fraud rollback "
            "--dry-run.",
            Query(
                f'fraud_realised_recall{{{WINDOW}, subject=~"{_SUBJECTS}", bound="point"}}',
                "{{model}} {{subject}}",
            ),
            Query(
                f'fraud_realised_recall{{{WINDOW}, subject="champion", bound=~"lower|upper"}}',
                "{{model}} {{subject}} {{bound}}",
            ),
            most=1,
            band=True,
            width=12,
        ),
        states(
            "What served",
            "The version in service. When it is bad: it changes to and fro; look at the verdicts' reasons.",
            Query(f"fraud_champion_info{{{MODEL}}}", "{{model}} {{version}}"),
        ),
        states(
            "In shadow",
            "Versions that score without effect. When it is bad: the same challenger for weeks: it lacks "
            "evidence.",
            Query(f"fraud_shadow_info{{{MODEL}}}", "{{model}} {{slot}} {{version}}"),
        ),
    ],
)

_RETRAINS = Section(
    "Retrains and verdicts",
    [
        series(
            "Promotions and rollbacks",
            "none",
            "Ever entered in the ledger. When it is bad: they rise together.",
            Query(f"fraud_promotions_total{{{MODEL}}}", "{{model}} promotions"),
            Query(f"fraud_ledger_rollbacks_total{{{MODEL}}}", "{{model}} rollbacks"),
            stepped=True,
        ),
        series(
            "Retrains by how they ended",
            "none",
            "Ever. When it is bad: failed, frozen or untrained rise, finished does not.",
            Query(f"fraud_retrains_total{{{MODEL}}}", "{{model}} {{result}}"),
            stepped=True,
        ),
        series(
            "Verdicts",
            "none",
            "Of the gate, ever. When it is bad: INCONCLUSIVE alone: too few frauds for evidence; a longer "
            "evidence span.",
            Query(f"fraud_verdicts_total{{{MODEL}}}", "{{model}} {{verdict}}"),
            stepped=True,
        ),
        series(
            "Why",
            "none",
            "Ways to a promotion, and checks that failed. When it is bad: one check rejects all; fraud "
            "show has its row.",
            Query(
                f"sum by (verdict, reason) (fraud_verdict_reasons_total{{{MODEL}}}) > 0",
                "{{verdict}} {{reason}}",
            ),
            stepped=True,
        ),
        series(
            "Duration of retrains",
            "s",
            "Of the last one. When it is bad: near the schedule's span; fewer recipes, or more cores.",
            Query(f"fraud_retrain_last_seconds{{{MODEL}}}", "{{model}}"),
            stepped=True,
        ),
        series(
            "Running",
            "none",
            "1 while a retrain runs. When it is bad: for hours.",
            Query("fraud_retrain_running", "running"),
            most=1,
            stepped=True,
        ),
    ],
)

_EMERGENCIES = Section(
    "Emergencies",
    [
        series(
            "Separate misses confirmed",
            "none",
            "Since the last retrain, in the span that is least like quiet weeks, and as those promise. When "
            "it is bad: several times the promise: an attack gets through.",
            Query(f"fraud_miss_votes{{{MODEL}}}", "{{model}}"),
            Query(f"fraud_miss_expected_votes{{{MODEL}}}", "{{model}} expected"),
            width=6,
        ),
        series(
            "Fraud value lost, at least",
            "percentunit",
            "Found before and not now, beyond doubt; below 0: nothing. When it is bad: above "
            "training.triggers.value_detection.fall.",
            Query(f"fraud_value_detection_lost_share{{{MODEL}}}", "{{model}}"),
            least=None,
            width=6,
        ),
        states(
            "Asked for",
            "Which trigger asks for an emergency retrain. When it is bad: for days: the budget holds it, so "
            "look yourself.",
            Query(f"fraud_trigger_active{{{MODEL}}}", "{{model}} {{trigger}}"),
        ),
        series(
            "Budget",
            "none",
            "Emergency retrains used and left. When it is bad: none left; see FraudEmergenciesSpent.",
            Query("fraud_emergency_used_retrains", "used"),
            Query("fraud_emergency_left_retrains", "left"),
            stepped=True,
            width=6,
        ),
        series(
            "What started the last retrain",
            "none",
            "1 for the trigger; the ledger has the reason in words. When it is bad: emergencies in a row.",
            Query("fraud_retrain_last_trigger == 1", "{{trigger}}"),
            most=1,
            stepped=True,
            width=6,
        ),
    ],
)

_VERSIONS = Section(
    "Versions",
    [
        series(
            "Age over time",
            "s",
            "Saw-teeth: each promotion starts anew. When it is bad: it only rises.",
            Query(f"fraud_champion_age_seconds{{{MODEL}}}", "{{model}}"),
        ),
        series(
            "Versions registered",
            "none",
            "Ever. When it is bad: flat though retrains finish: fits fail; see the retrainer's log.",
            Query(f"fraud_versions_total{{{MODEL}}}", "{{model}}"),
            stepped=True,
        ),
        series(
            "Evidence on probation",
            "none",
            "E-values against a side. When it is bad: at gate.e_value the former champion comes back by "
            "itself.",
            Query(f"fraud_probation_e_value{{{MODEL}}}", "{{model}} {{side}}"),
            steps=[(20, RED)],
        ),
        series(
            "Time that watching takes",
            "s",
            "Of the last computation, by part. When it is bad: minutes; fewer windows, or a lower "
            "bootstrap_rounds.",
            Query("fraud_monitoring_seconds", "{{part}}"),
        ),
        series(
            "Computations that failed",
            "none",
            "Since the start, by part. When it is bad: it rises; see FraudQualityNotMeasured.",
            Query("fraud_monitoring_failures_total", "{{part}}"),
            stepped=True,
        ),
    ],
)

LOOP_HISTORY = Board(
    uid="fraud-loop-history",
    title="Fraud: loop history",
    text="What served when, what each retrain came to, and what it did to quality.",
    sections=[_NOW, _QUALITY, _RETRAINS, _EMERGENCIES, _VERSIONS],
    since="now-90d",
    refresh="5m",
    window=True,
)
