"""Labels and guard: do verdicts come, how late, what does the guard find, what is left out."""

from deploy.grafana.boards import Board, Section
from deploy.grafana.panels import GREEN, MODEL, ORANGE, RED, Query, number, series, states

_FROZEN = {"0": ("trains", GREEN), "1": ("frozen", RED)}

_NOW = Section(
    "Now",
    [
        number(
            "Training",
            "none",
            "Whether the guard lets a model train. When it is bad: fraud guard says why; see "
            "FraudRetrainFrozen.",
            Query(f"fraud_retrain_frozen{{{MODEL}}}", "{{model}}"),
            names=_FROZEN,
            width=5,
        ),
        number(
            "Findings",
            "none",
            "Of the guard, when it last judged. When it is bad: fraud guard lists them with counts and "
            "bounds.",
            Query(f"sum by (model) (fraud_guard_findings{{{MODEL}}})", "{{model}}"),
            steps=[(1, ORANGE)],
            width=5,
        ),
        number(
            "Last label",
            "dateTimeFromNow",
            "By source. When it is bad: longer ago than the source usually takes; ask its owner.",
            Query("fraud_feed_last_label_timestamp_seconds * 1000", "{{source}}"),
            first="blue",
            width=5,
        ),
        number(
            "Exclusions in force",
            "none",
            "Data cut out of training and features. When it is bad: one that nobody remembers; fraud "
            "exclude --list.",
            Query("fraud_exclusions_in_force", "exclusions"),
            first="blue",
        ),
        number(
            "Tainted versions",
            "none",
            "They learned from excluded data and cannot be promoted. When it is bad: the champion is one "
            "of them.",
            Query(f"fraud_tainted_versions{{{MODEL}}}", "{{model}}"),
            first="blue",
        ),
        number(
            "Tainted champion",
            "none",
            "Whether a tainted version serves. When it is bad: fraud rollback, fraud retrain; see "
            "FraudChampionTainted.",
            Query(f"fraud_tainted_champion{{{MODEL}}}", "{{model}}"),
            names={"0": ("clean", GREEN), "1": ("tainted", RED)},
        ),
    ],
)

_FEEDS = Section(
    "Feeds",
    [
        series(
            "Labels taken",
            "none",
            "In an hour, by source and value. When it is bad: a source at 0, or one whose values turn.",
            Query(
                'sum by (source, value) (increase(fraud_labels_total{value!="UNSPECIFIED"}[1h]))',
                "{{source}} {{value}}",
            ),
            stacked=True,
        ),
        series(
            "Came ÷ due",
            "percentunit",
            "Fraud labels that came, of those that the source's own delay curve promised. When it is bad: "
            "below the line; see FraudLabelFeedSilent.",
            Query(f"fraud_feed_observed_ratio{{{MODEL}}}", "{{model}} {{source}} {{window}}"),
            steps=[(0.3, RED)],
        ),
        series(
            "Labels due",
            "none",
            "What the ratio beside it rests on. When it is bad: few; the ratio then says little.",
            Query(f"fraud_feed_expected_labels{{{MODEL}}}", "{{model}} {{source}} {{window}}"),
        ),
        series(
            "Delay of matured labels",
            "s",
            "From payment to verdict, by source. When it is bad: the upper end beyond labels.maturity: "
            "frauds count as "
            "legitimate until their label comes.",
            Query(f"fraud_feed_delay_seconds{{{MODEL}}}", "{{model}} {{source}} {{quantile}}"),
        ),
        series(
            "Delay of labels as they come",
            "s",
            "Median of what came in the last day. When it is bad: a jump is a backlog being worked off.",
            Query(
                "histogram_quantile(0.5, sum by (source, le) (rate(fraud_label_delay_seconds_bucket[1d])))",
                "{{source}}",
            ),
        ),
        series(
            "Labels that wait for their payment",
            "none",
            "When it is bad: it only grows: a source sends ids that are not ours.",
            Query("fraud_labels_waiting", "labels"),
        ),
    ],
)

_GUARD = Section(
    "Guard",
    [
        states(
            "Findings by check",
            "What the guard found each time it judged. When it is bad: fraud guard; mend the feed, fraud "
            "exclude, or "
            "fraud retrain --override-guard.",
            Query(f"fraud_guard_findings{{{MODEL}}} > 0", "{{model}} {{check}}"),
        ),
        states(
            "Frozen",
            "When a model was kept from training. When it is bad: for longer than champions may age.",
            Query(f"fraud_retrain_frozen{{{MODEL}}}", "{{model}}"),
            _FROZEN,
        ),
    ],
)

_EXPLORATION = Section(
    "Exploration",
    [
        series(
            "Exploring",
            "none",
            "1 while a model explores. When it is bad: 0 and nobody remembers why; fraud history says who "
            "switched it.",
            Query(f"fraud_exploration_enabled{{{MODEL}}}", "{{model}}"),
            most=1,
            stepped=True,
            width=6,
        ),
        series(
            "Let through to learn from",
            "cps",
            "Would-be declines that were approved. When it is bad: none while it is on: the budget is spent.",
            Query(f"rate(fraud_explored_total{{{MODEL}}}[$__rate_interval])", "{{model}}"),
            width=6,
        ),
        series(
            "Today's budget used",
            "percentunit",
            "No series without a budget. When it is bad: at 1 before noon; see FraudExplorationSpent.",
            Query(f"model:fraud_exploration:spent_ratio{{{MODEL}}}", "{{model}}"),
            steps=[(1, ORANGE)],
            most=1,
            width=6,
        ),
        series(
            "Amount let through today",
            "none",
            "Smallest unit of the base currency. When it is bad: fraud explore --off stops it at once.",
            Query(f"fraud_exploration_spent_minor{{{MODEL}}}", "{{model}} spent"),
            Query(f"fraud_exploration_left_minor{{{MODEL}}}", "{{model}} left"),
            width=6,
        ),
    ],
)

LABELS_AND_GUARD = Board(
    uid="fraud-labels-and-guard",
    title="Fraud: labels and guard",
    text="Do verdicts come, how late, what does the guard find, and what is let through to learn from.",
    sections=[_NOW, _FEEDS, _GUARD, _EXPLORATION],
    since="now-30d",
    refresh="1m",
)
