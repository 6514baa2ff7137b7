"""Model quality: what came true of the scores, what was lost, what moves before labels arrive.

Champion, the reference that never changes and shadows stand in one panel, on the same
matured payments: the gap between champion and reference is what retraining bought.
"""

from deploy.grafana.boards import Board, Section
from deploy.grafana.panels import GREEN, MODEL, ORANGE, RED, WINDOW, Panel, Query, number, series

_DECAY = 0.05


def _figure(title: str, name: str, unit: str, text: str, most: float | None = 1) -> Panel:
    """Make a panel of one realised figure: every subject, and the champion's interval."""
    metric = f"fraud_realised_{name}"
    return series(
        title,
        unit,
        text,
        Query(f'{metric}{{{WINDOW}, bound="point"}}', "{{model}} {{subject}}"),
        Query(
            f'{metric}{{{WINDOW}, subject="champion", bound=~"lower|upper"}}',
            "{{model}} {{subject}} {{bound}}",
        ),
        most=most,
        band=True,
    )


_NOW = Section(
    "Now",
    [
        number(
            "Recall within the budget",
            "percentunit",
            "Of the champion, matured payments of the window. When it is bad: compare with the promise "
            "beside it.",
            Query(f'fraud_realised_recall{{{WINDOW}, subject="champion", bound="point"}}', "{{model}}"),
            first="blue",
            width=4,
        ),
        number(
            "Promised at promotion",
            "percentunit",
            "The champion's recall when the gate promoted it. When it is bad: far above what is realised; "
            "see decay.",
            Query(f'fraud_promised_quality{{{MODEL}, figure="recall", bound="point"}}', "{{model}}"),
            first="blue",
            width=4,
        ),
        number(
            "Lost since promotion",
            "percentunit",
            "Points of recall. When it is bad: fraud guard, then fraud retrain; see FraudDecay.",
            Query(f'fraud_realised_decay{{{WINDOW}, figure="recall", bound="point"}}', "{{model}}"),
            steps=[(_DECAY / 2, ORANGE), (_DECAY, RED)],
            width=4,
        ),
        number(
            "Bought by retraining",
            "percentunit",
            "Recall of the champion less that of the first, on the same payments. When it is bad: below "
            "0; see "
            "FraudWorseThanFirst.",
            Query(f'fraud_realised_gain{{{WINDOW}, figure="recall", bound="point"}}', "{{model}}"),
            steps=[(-_DECAY, ORANGE), (0, GREEN)],
            first=RED,
            width=4,
        ),
        number(
            "Frauds behind it",
            "none",
            "Matured frauds of the window. When it is bad: under a hundred, intervals are wide; take a "
            "longer window.",
            Query(f'fraud_realised_frauds{{{WINDOW}, subject="champion"}}', "{{model}}"),
            first="blue",
            width=4,
        ),
        number(
            "Matured up to",
            "dateTimeFromNow",
            "Nothing later is judged. When it is bad: older than labels.maturity; is the retrainer up?",
            Query(f"fraud_quality_matured_timestamp_seconds{{{MODEL}}} * 1000", "{{model}}"),
            first="blue",
            width=4,
        ),
    ],
)

_FIGURES = Section(
    "Realised, by subject (dashed: 90 % interval of the champion)",
    [
        _figure(
            "Recall within the alert budget",
            "recall",
            "percentunit",
            "Share of frauds among the payments alerted. Champion above first is what retraining bought. "
            "When it is bad: the champion falls to the reference; fraud report compares them.",
        ),
        _figure(
            "Average precision",
            "average_precision",
            "percentunit",
            "Area under precision and recall. When it is bad: it falls with recall still up: the ranking "
            "below the "
            "budget goes first.",
        ),
        _figure(
            "Precision of alerts",
            "precision",
            "percentunit",
            "Share of alerts that were fraud. When it is bad: analysts look at more for less.",
        ),
        _figure(
            "Value detection",
            "value_detection",
            "percentunit",
            "Share of the fraud amount within the budget. When it is bad: recall holds and this falls: "
            "large frauds "
            "are missed.",
        ),
        _figure(
            "False alerts for each caught fraud",
            "false_positive_ratio",
            "none",
            "When it is bad: it doubles; thresholds follow the policy, so the model has lost its grip.",
            most=None,
        ),
        _figure(
            "Frauds promised ÷ frauds that came",
            "calibration_ratio",
            "none",
            "1 is calibrated. When it is bad: beyond 2 or below 1/2 policies in money are off; retrain.",
            most=None,
        ),
        _figure(
            "Fraud amount that got through",
            "value_fraud_ratio",
            "percentunit",
            "Of all amounts (value-weighted fraud rate). When it is bad: above what your regulator or "
            "scheme allows.",
            most=None,
        ),
        series(
            "Labels and frauds behind the figures",
            "none",
            "When it is bad: labels fall while payments do not; look at labels and guard.",
            Query(f'fraud_realised_labels{{{WINDOW}, subject="decisions"}}', "{{model}} labels"),
            Query(f'fraud_realised_frauds{{{WINDOW}, subject="decisions"}}', "{{model}} frauds"),
            Query(
                f'fraud_realised_effective_frauds{{{WINDOW}, subject="decisions"}}',
                "{{model}} effective frauds",
            ),
        ),
        series(
            "Payments nobody knows the truth of",
            "none",
            "Declines that were not explored, and those left out because a rule decided. When it is bad: "
            "most of what "
            "is alerted; let some through (exploration).",
            Query(f'fraud_realised_unseen_rows{{{WINDOW}, subject="decisions"}}', "{{model}} unseen"),
            Query(f"fraud_realised_rule_rows{{{WINDOW}}}", "{{model}} decided by rules"),
        ),
    ],
)

_CHANGE = Section(
    "Decay, and what retraining bought",
    [
        series(
            "Loss over time",
            "percentunit",
            "The champion's figure at promotion less now. When it is bad: above the line with its lower "
            "end above 0; "
            "see FraudDecay.",
            Query(f'fraud_realised_decay{{{WINDOW}, bound="point"}}', "{{model}} {{figure}}"),
            Query(
                f'fraud_realised_decay{{{WINDOW}, bound=~"lower|upper"}}', "{{model}} {{figure}} {{bound}}"
            ),
            steps=[(_DECAY, RED)],
            least=None,
            band=True,
            width=12,
        ),
        series(
            "Champion less the first champion",
            "percentunit",
            "On the same payments, with its interval. When it is bad: below 0; see FraudWorseThanFirst.",
            Query(f'fraud_realised_gain{{{WINDOW}, bound="point"}}', "{{model}} {{figure}}"),
            Query(f'fraud_realised_gain{{{WINDOW}, bound=~"lower|upper"}}', "{{model}} {{figure}} {{bound}}"),
            least=None,
            band=True,
            width=12,
        ),
        series(
            "Recall by week of payment",
            "percentunit",
            "Cohort 1 is the newest matured week. When it is bad: the newest weeks are the lowest: decay "
            "is under way.",
            Query(f'fraud_cohort_recall{{{MODEL}, bound="point"}}', "{{model}} week {{cohort}}"),
            most=1,
        ),
        series(
            "Restated since the week had matured",
            "percentunit",
            "Labels that came later changed a figure by this much. When it is bad: far from 0; "
            "labels.maturity is too short.",
            Query(f"fraud_cohort_restated_recall{{{MODEL}}}", "{{model}} week {{cohort}}"),
            least=None,
        ),
        series(
            "Frauds added since the week had matured",
            "none",
            "Late verdicts. When it is bad: many; labels.maturity is too short, or a batch came late.",
            Query(f"fraud_cohort_restated_frauds{{{MODEL}}}", "{{model}} week {{cohort}}"),
            least=None,
        ),
    ],
)

_BEFORE = Section(
    "Before labels arrive",
    [
        series(
            "Alerts now ÷ promised",
            "none",
            "Of recent payments, with its interval. When it is bad: beyond 2 or below 1/2; see "
            "FraudAlertRateJump.",
            Query(f'fraud_recent_alert_ratio{{{MODEL}, bound="point"}}', "{{model}}"),
            Query(f'fraud_recent_alert_ratio{{{MODEL}, bound=~"lower|upper"}}', "{{model}} {{bound}}"),
            steps=[(2, RED)],
            band=True,
        ),
        series(
            "Outcomes: recent and promised",
            "percentunit",
            "Shares of reviews and declines. When it is bad: they part without a change of policy.",
            Query(f'fraud_recent_outcome_share{{{MODEL}, outcome!="APPROVE"}}', "{{model}} {{outcome}}"),
            Query(
                f'fraud_promised_outcome_share{{{MODEL}, outcome!="APPROVE"}}',
                "{{model}} {{outcome}} promised",
            ),
        ),
        series(
            "Drift of scores",
            "none",
            "PSI beyond chance, against the payments trained on. When it is bad: above 0.1; see "
            "FraudScoreDrift.",
            Query(f"fraud_score_drift{{{MODEL}}}", "{{model}}"),
            steps=[(0.1, ORANGE), (0.25, RED)],
        ),
        series(
            "Drift of features, the ten largest",
            "none",
            "PSI beyond chance. When it is bad: one field far above: its sender changed; several: a new "
            "kind of customer.",
            Query(f"topk(10, fraud_feature_drift{{{MODEL}}})", "{{model}} {{feature}}"),
            steps=[(0.1, ORANGE), (0.25, RED)],
        ),
        series(
            "New, unseen, out of range",
            "percentunit",
            "Shares of recent payments. When it is bad: a jump is a field that changed; see "
            "FraudUnknownInput.",
            Query(f"fraud_recent_traffic_share{{{MODEL}}}", "{{model}} {{kind}}"),
        ),
        series(
            "Who probes",
            "none",
            "Entities of the last day that test cards or limits, and as many as quiet weeks promise. When it "
            "is bad: several times the promise; see FraudProbing.",
            Query(f"fraud_probing_entities{{{MODEL}}}", "{{model}} {{pattern}} {{kind}}"),
            Query(f"fraud_probing_expected_entities{{{MODEL}}}", "{{model}} {{pattern}} {{kind}} expected"),
        ),
        series(
            "Probing beyond chance",
            "none",
            "1 while a pattern is found. When it is bad: at 1; see FraudProbing.",
            Query(f"fraud_probing_findings{{{MODEL}}}", "{{model}} {{pattern}} {{kind}}"),
            most=1,
            stepped=True,
        ),
        series(
            "Shadows that would answer otherwise",
            "percentunit",
            "Share of recent payments. When it is bad: a challenger that differs on many will move the "
            "alert rate.",
            Query(f"fraud_shadow_disagreement_share{{{MODEL}}}", "{{model}} {{subject}}"),
        ),
        series(
            "Context: what the scores themselves promise",
            "percentunit",
            "An estimate from calibrated scores, no measurement: it cannot see a new attack. When it is "
            "bad: look at the "
            "panel beside it first.",
            Query(f"fraud_estimated_precision{{{MODEL}}}", "{{model}} precision"),
            Query(f"fraud_estimated_recall{{{MODEL}}}", "{{model}} recall"),
            most=1,
        ),
        series(
            "Does the estimate hold?",
            "none",
            "1 while an assumption of the estimate holds. When it is bad: at 0, do not read the estimate.",
            Query(f"fraud_estimate_holds{{{MODEL}}}", "{{model}} {{assumption}}"),
            most=1,
            stepped=True,
        ),
        series(
            "Distributions that moved",
            "none",
            "Beyond chance, all features together, and beyond the effect that counts. When it is bad: "
            "above 0; see "
            "FraudScoreDrift, FraudFeatureDrift.",
            Query(f"fraud_drift_findings{{{MODEL}}}", "{{model}} {{kind}}"),
            steps=[(1, ORANGE)],
            stepped=True,
        ),
        series(
            "Recent payments behind this",
            "none",
            "When it is bad: few; all of this row is silent below its minimum counts.",
            Query(f"fraud_recent_rows{{{MODEL}}}", "{{model}}"),
        ),
    ],
)

MODEL_QUALITY = Board(
    uid="fraud-model-quality",
    title="Fraud: model quality",
    text="What came true of the scores, what was lost, and what moves before labels arrive.",
    sections=[_NOW, _FIGURES, _CHANGE, _BEFORE],
    since="now-90d",
    refresh="5m",
    window=True,
)
