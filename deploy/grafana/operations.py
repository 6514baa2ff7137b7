"""Operations: is it up, how fast, what does it answer, does the log keep pace."""

from deploy.grafana.boards import Board, Section
from deploy.grafana.panels import GREEN, MODEL, ORANGE, RED, Query, listing, number, series

_UP = {"1": ("up", GREEN), "0": ("down", RED)}
_GIB = 2**30

_NOW = Section(
    "Now",
    [
        number(
            "Processes",
            "none",
            "Whether scorer and retrainer answer. When it is bad: fraud doctor, then the runbook, "
            "FraudScorerDown.",
            Query('up{job=~"fraud-.*"}', "{{job}}"),
            names=_UP,
        ),
        number(
            "Serving",
            "none",
            "Whether its health says SERVING. When it is bad: its log says why, see FraudNotServing.",
            Query("fraud_serving", "serving"),
            names={"1": ("yes", GREEN), "0": ("no", RED)},
            width=2,
        ),
        number(
            "Alerts firing",
            "none",
            "Alerts by severity. When it is bad: the list below names them; each has a section in the "
            "runbook.",
            Query('sum by (severity) (ALERTS{alertstate="firing", alertname=~"Fraud.*"})', "{{severity}}"),
            steps=[(1, ORANGE)],
        ),
        number(
            "Champions",
            "none",
            "The version that serves each model. When it is bad: none means payments are answered without "
            "a score; "
            "fraud versions, fraud retrain.",
            Query(f"fraud_champion_info{{{MODEL}}}", "{{version}}"),
            by_name=True,
            width=4,
        ),
        number(
            "Events dropped",
            "none",
            "Answers that are not in the log; always 0. When it is bad: stop the scorer, see "
            "FraudEventsDropped.",
            Query("fraud_events_dropped_total", "dropped"),
            steps=[(1, RED)],
        ),
        number(
            "Disk free",
            "bytes",
            "Space left for the data folder. When it is bad: fraud archive vacuum --dry-run; without "
            "space nothing "
            "is answered.",
            Query('min(fraud_disk_free_bytes{job="fraud-scorer"})', "free"),
            steps=[(0.5 * _GIB, ORANGE), (5 * _GIB, GREEN)],
            first=RED,
        ),
        number(
            "Queue",
            "none",
            "Rows waiting to be scored. When it is bad: more comes than is scored; see FraudScorerQueueFull.",
            Query("fraud_queue_rows", "rows"),
            steps=[(1_000, ORANGE), (10_000, RED)],
        ),
        number(
            "Release",
            "none",
            "The release each process runs. When it is bad: two different ones; restart the older process.",
            Query("fraud_build_info", "{{job}} {{version}}"),
            by_name=True,
        ),
        listing(
            "Alerts",
            "What fires or is about to, as Prometheus sees it. When it is bad: deploy/runbook.md has a "
            "section for each.",
            Query('ALERTS{alertname=~"Fraud.*"}'),
            hidden=("Value",),
            width=24,
        ),
    ],
)

_CALLS = Section(
    "Calls",
    [
        series(
            "Calls",
            "reqps",
            "Calls answered, by method. When it is bad: none at all; look at the callers, then fraud doctor.",
            Query("method:grpc_server_handled:rate5m", "{{grpc_method}}"),
        ),
        series(
            "Calls that failed",
            "percentunit",
            "Share of calls that ended with an error of ours. When it is bad: the scorer's log says why; "
            "RESOURCE_EXHAUSTED means overload.",
            Query("method:grpc_server_errors:ratio_rate5m", "{{grpc_method}}"),
            steps=[(0.01, RED)],
        ),
        series(
            "Calls over their caller's rate",
            "reqps",
            "Refused because an identity asks for more than [server.rates] allows; not among those that "
            "failed. When it is bad: ask the caller, or give it more in server.rates.identities.",
            Query("method:fraud_rate_limited:rate5m", "{{grpc_method}}"),
        ),
        series(
            "Access ends in",
            "s",
            "Until the server's certificate, those who sign clients, or an identity's last credential end. "
            "When it is bad: near 0 callers are about to be refused; see FraudAccessEnds.",
            Query("fraud_access_end_timestamp_seconds - time()", "{{what}}"),
            steps=[(14 * 86_400, GREEN)],
        ),
        series(
            "Answers by status",
            "reqps",
            "All but OK. When it is bad: INVALID_ARGUMENT is a caller's mistake, INTERNAL one of ours.",
            Query(
                'sum by (grpc_code) (rate(grpc_server_handled_total{grpc_code!="OK"}[$__rate_interval])) > 0',
                "{{grpc_code}}",
            ),
            stacked=True,
        ),
        series(
            "Time to answer, Score",
            "s",
            "Median and slowest hundredth. When it is bad: disk (log append), overload (queue), or a "
            "neighbour on "
            "the machine.",
            Query('method:grpc_server_handling_seconds:p50_5m{grpc_method="Score"}', "median"),
            Query('method:grpc_server_handling_seconds:p99_5m{grpc_method="Score"}', "slowest 1 %"),
            steps=[(0.1, ORANGE)],
        ),
        series(
            "Rows scored together",
            "none",
            "Mean size of a batch; it grows with load. When it is bad: near server.scoring_rows_max the "
            "scorer is full.",
            Query(
                "rate(fraud_batch_rows_sum[$__rate_interval]) / "
                "(rate(fraud_batch_rows_count[$__rate_interval]) > 0)",
                "rows",
            ),
        ),
        series(
            "Rows waiting",
            "none",
            "The queue over time. When it is bad: it does not come back to 0; see FraudScorerQueueFull.",
            Query("fraud_queue_rows", "rows"),
            steps=[(10_000, RED)],
        ),
    ],
)

_DECISIONS = Section(
    "Decisions",
    [
        series(
            "Decisions",
            "cps",
            "Decisions a second, by outcome. When it is bad: declines that jump; see FraudAlertRateJump.",
            Query(
                f"sum by (model, outcome) (rate(fraud_decisions_total{{{MODEL}}}[$__rate_interval]))",
                "{{model}} {{outcome}}",
            ),
            stacked=True,
        ),
        series(
            "Share of reviews and declines",
            "percentunit",
            "Of the last five minutes. When it is bad: fraud rollback --dry-run shows what the former "
            "champion would alert.",
            Query(
                f'model_outcome:fraud_decisions:share_rate5m{{{MODEL}, outcome!="APPROVE"}}',
                "{{model}} {{outcome}}",
            ),
        ),
        series(
            "Scores",
            "percentunit",
            "Median and upper hundredth of the calibrated scores. When it is bad: a jump without a swap; "
            "look at drift.",
            Query(
                f"histogram_quantile(0.5, sum by (model, le) "
                f"(rate(fraud_score_bucket{{{MODEL}}}[$__rate_interval])))",
                "{{model}} median",
            ),
            Query(
                f"histogram_quantile(0.99, sum by (model, le) "
                f"(rate(fraud_score_bucket{{{MODEL}}}[$__rate_interval])))",
                "{{model}} upper 1 %",
            ),
        ),
        series(
            "Limits stated in replies",
            "cps",
            "What answers should not be trusted for. When it is bad: OUT_OF_RANGE or UNSEEN_CATEGORY that "
            "rises is a "
            "field that changed.",
            Query("sum by (limit) (rate(fraud_limits_total[$__rate_interval])) > 0", "{{limit}}"),
        ),
        series(
            "Rules and lists",
            "cps",
            "Decisions that a rule or a list made. When it is bad: a rule that decides far more than it "
            "was tested for.",
            Query(
                f"sum by (rule) (rate(fraud_rule_decisions_total{{{MODEL}}}[$__rate_interval]))", "{{rule}}"
            ),
        ),
        series(
            "Rules that failed or were refused",
            "none",
            "Batches that the model decided alone since the start. When it is bad: above 0; see "
            "FraudRulesFailing.",
            Query(f"fraud_rule_failures_total{{{MODEL}}}", "{{model}}"),
            Query(f"fraud_rules_refused{{{MODEL}}}", "{{model}} refused"),
            steps=[(1, ORANGE)],
            stepped=True,
        ),
        series(
            "Entities on lists",
            "none",
            "Block and allow lists. When it is bad: near rules.listings_max; fraud list show.",
            Query("fraud_listings", "{{list}}"),
            stepped=True,
        ),
        series(
            "What shadows cost",
            "s",
            "Time a batch takes for all its shadows, mean. When it is bad: as long as scoring itself; "
            "fewer shadows.",
            Query(
                f"sum by (model) (rate(fraud_shadow_seconds_sum{{{MODEL}}}[$__rate_interval])) "
                f"/ (sum by (model) (rate(fraud_shadow_seconds_count{{{MODEL}}}[$__rate_interval])) > 0)",
                "{{model}}",
            ),
        ),
        series(
            "Repeated and late payments, decisions without reasons",
            "cps",
            "Answered as stored; older than the state holds; explained later, if asked. When it is bad: a "
            "sender repeats or replays, or more is declined than can be explained.",
            Query("rate(fraud_duplicates_total[$__rate_interval])", "repeated"),
            Query("rate(fraud_unexplained_total[$__rate_interval])", "without reasons"),
            Query("rate(fraud_late_events_total[$__rate_interval])", "late"),
        ),
    ],
)

_LOG = Section(
    "Log, archive, swaps",
    [
        series(
            "Time to write the log",
            "s",
            "Slowest hundredth of batches. When it is bad: the disk; every reply waits for it.",
            Query("instance:fraud_log_append_seconds:p99_5m", "slowest 1 %"),
            steps=[(0.1, ORANGE)],
        ),
        series(
            "Archive behind the log",
            "none",
            "Entries not yet archived. When it is bad: no retrainer runs, or it fails; see FraudArchiveLag.",
            Query(
                "max by (service) (fraud_log_position) "
                "- on (service) max by (service) (fraud_archive_position)",
                "entries {{service}}",
            ),
            steps=[(1e6, ORANGE)],
        ),
        series(
            "Log and archive",
            "none",
            "Positions. When it is bad: they drift apart.",
            Query("fraud_log_position", "log"),
            Query("fraud_archive_position", "archive"),
            least=None,
        ),
        series(
            "Swaps",
            "none",
            "Versions put into service or refused, in an hour, and 1 while a champion is missing. When it "
            "is bad: refused or missing; see FraudSwapRefused, FraudChampionMissing.",
            Query(f"increase(fraud_swaps_total{{{MODEL}}}[1h])", "{{model}} {{result}}"),
            Query(f"fraud_champion_missing{{{MODEL}}}", "{{model}} missing"),
        ),
        series(
            "Time to swap",
            "s",
            "From the ledger's word to service, slowest twentieth of a day. When it is bad: large "
            "bundles, slow disk.",
            Query(
                f"histogram_quantile(0.95, sum by (model, le) "
                f"(rate(fraud_swap_seconds_bucket{{{MODEL}}}[1d])))",
                "{{model}}",
            ),
        ),
        series(
            "State rebuilt",
            "none",
            "Times the feature state was restored since the start, and the share of it that is. When it is "
            "bad: it rises without a restart of yours.",
            Query("fraud_restores_total", "restores"),
            Query("fraud_restore_progress_ratio", "restored"),
        ),
    ],
)

_MACHINE = Section(
    "Machine",
    [
        series(
            "CPU",
            "percentunit",
            "Cores in use by each process. When it is bad: the scorer stays at 1; it keeps to one core by "
            "design.",
            Query('rate(process_cpu_seconds_total{job=~"fraud-.*"}[$__rate_interval])', "{{job}}"),
            steps=[(0.9, ORANGE)],
        ),
        series(
            "Memory",
            "bytes",
            "Resident. When it is bad: it grows for days with the entities that have state, each a few KiB.",
            Query('process_resident_memory_bytes{job=~"fraud-.*"}', "{{job}}"),
        ),
        series(
            "Entities with state",
            "percentunit",
            "Share of features.entities_max that each kind has taken. When it is bad: from 100 % on newer "
            "ones read as never seen; see FraudEntitiesFull.",
            Query("entity:fraud_entities:ratio", "{{entity}}"),
            steps=[(0.9, ORANGE), (1, RED)],
        ),
        series(
            "Disk free over time",
            "bytes",
            "Where the data folder is. When it is bad: fraud archive compact, fraud archive vacuum.",
            Query("fraud_disk_free_bytes", "{{job}}"),
            steps=[(5 * _GIB, GREEN)],
        ),
        series(
            "Up since",
            "s",
            "Time since the start. When it is bad: it keeps falling to 0; see FraudScorerRestarting.",
            Query('time() - process_start_time_seconds{job=~"fraud-.*"}', "{{job}}"),
        ),
        series(
            "Alerts that were not sent or evaluated",
            "none",
            "Notifications and evaluations of rules that failed within ten minutes. When it is bad: above 0 "
            "nobody may be told of anything; see FraudAlertsNotSent, FraudAlertsNotEvaluated.",
            Query(
                "sum by (job) (increase(prometheus_notifications_dropped_total[10m]))", "not sent, {{job}}"
            ),
            Query(
                "sum by (job) (increase(alertmanager_notifications_failed_total[10m]))", "not sent, {{job}}"
            ),
            Query(
                "sum by (job) (increase(prometheus_rule_evaluation_failures_total[10m]))",
                "not evaluated, {{job}}",
            ),
            steps=[(1, RED)],
        ),
    ],
)

OPERATIONS = Board(
    uid="fraud-operations",
    title="Fraud: operations",
    text="Is it up, how fast, what does it answer, does the log keep pace.",
    sections=[_NOW, _CALLS, _DECISIONS, _LOG, _MACHINE],
)
