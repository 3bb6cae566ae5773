"""What the Grafana dashboard shows, row by row; `deploy.dashboard.render` makes Grafana's JSON of it."""

from __future__ import annotations

from deploy.dashboard.panels import WORKER, Panel, Query, Row, mean, per_worker, quantiles

STAGES = ("prepare", "queue", "inference", "publish")

ROWS = (
    Row(
        "Flow",
        (
            Panel("Workers", (Query("count(reviews_worker_info{$W})"),), kind="stat", width=4),
            Panel(
                "Out",
                (Query("sum(rate(reviews_worker_events_out_total{$W}[$__rate_interval]))"),),
                unit="reviews/s",
                kind="stat",
                width=4,
            ),
            Panel("Lag", (Query("sum(reviews_worker_lag{$W})"),), kind="stat", width=4),
            Panel(
                "Time to drain",
                (Query("max(reviews_worker_drain_seconds{$W})"),),
                unit="s",
                kind="stat",
                width=4,
                text="Of the worker that needs longest, at its pace of the last minute.",
            ),
            Panel(
                "Dead letters",
                (Query("sum(increase(reviews_worker_dead_letters_total{$W}[$__range]))"),),
                kind="stat",
                width=4,
                text="Within the time that is shown.",
            ),
            Panel("Workers that reach Kafka", (Query("sum(reviews_worker_broker_up{$W})"),), kind="stat", width=4),
            Panel(
                "Events",
                (
                    Query("sum(rate(reviews_worker_events_in_total{$W}[$__rate_interval]))", "in"),
                    Query("sum(rate(reviews_worker_events_out_total{$W}[$__rate_interval]))", "out"),
                    Query("sum(rate(reviews_worker_tombstones_total{$W}[$__rate_interval]))", "tombstones"),
                    Query("sum(rate(reviews_worker_dead_letters_total{$W}[$__rate_interval]))", "dead letters"),
                ),
                unit="cps",
            ),
            Panel(
                "Out, by worker",
                (Query(per_worker("rate(reviews_worker_events_out_total{$W}[$__rate_interval])"), WORKER),),
                unit="cps",
                stacked=True,
            ),
            Panel(
                "Predictions, by label",
                (Query("sum by (label) (rate(reviews_worker_predictions_total{$W}[$__rate_interval]))", "{{label}}"),),
                unit="cps",
                stacked=True,
            ),
            Panel("In flight", (Query("reviews_worker_in_flight_reviews{$W}", WORKER),)),
            Panel("In flight, bytes", (Query("reviews_worker_in_flight_bytes{$W}", WORKER),), unit="bytes"),
            Panel(
                "Intake waits",
                (Query("reviews_worker_intake_paused{$W}", WORKER),),
                text="1 while a worker has as much in flight as it may: normal under a backlog.",
                highest=1,
            ),
        ),
    ),
    Row(
        "Lag and time to drain",
        (
            Panel(
                "Lag, by partition",
                (Query("sum by (namespace, job, partition) (reviews_worker_lag{$W})", "{{partition}}"),),
                stacked=True,
            ),
            Panel(
                "Time to drain, by worker",
                (Query("reviews_worker_drain_seconds{$W}", WORKER),),
                unit="s",
            ),
            Panel(
                "Growth of the lag",
                (Query("deriv((sum(reviews_worker_lag{$W}))[15m:1m])", "reviews a second"),),
                unit="cps",
                text="Above zero for long: more comes than is classified.",
                lowest=None,
            ),
            Panel(
                "Lag that waits for transactions upstream, by partition",
                (
                    Query(
                        "sum by (namespace, job, partition) (reviews_worker_lag_in_transactions{$W})", "{{partition}}"
                    ),
                ),
                text="What lies behind a transaction that is open upstream. Above zero for long: one was left so.",
                stacked=True,
                width=12,
            ),
            Panel(
                "Partitions, by worker",
                (Query("reviews_worker_assigned_partitions{$W}", WORKER),),
                stacked=True,
                width=12,
            ),
            Panel(
                "Rebalances",
                (Query("max(increase(reviews_worker_rebalances_total{$W}[$__rate_interval]))", "assignments"),),
                width=12,
            ),
        ),
    ),
    Row(
        "Latency",
        (
            Panel(
                "From an event's time to its acknowledged output",
                quantiles("end_to_end_seconds"),
                unit="s",
                text="A sample of each group of records; it includes the time in Kafka.",
            ),
            Panel("In the worker", quantiles("worker_seconds"), unit="s"),
            Panel(
                "Stages, 95th percentile",
                tuple(
                    Query(
                        "histogram_quantile(0.95, sum by (le)"
                        f" (rate(reviews_worker_{stage}_seconds_bucket{{$W}}[$__rate_interval])))",
                        stage,
                    )
                    for stage in STAGES
                ),
                unit="s",
                text="Prepare is for a chunk of records, inference for a batch, queue for a batch's oldest review.",
            ),
            Panel(
                "From an event's time to its acknowledged output, all of them",
                (
                    Query(
                        "sum by (le) (increase(reviews_worker_end_to_end_seconds_bucket{$W}[$__rate_interval]))",
                        "{{le}}",
                    ),
                ),
                unit="s",
                kind="heatmap",
                width=24,
            ),
        ),
    ),
    Row(
        "Batching",
        (
            Panel(
                "Padding waste",
                (
                    Query(
                        "1 - sum(rate(reviews_worker_real_tokens_total{$W}[$__rate_interval]))"
                        " / sum(rate(reviews_worker_padded_tokens_total{$W}[$__rate_interval]))",
                        "waste",
                    ),
                ),
                unit="percentunit",
                text="Share of what is computed that is padding.",
            ),
            Panel(
                "A batch",
                (Query(mean("batch_reviews"), "reviews"), Query(mean("batch_tokens"), "padded tokens")),
            ),
            Panel("Waiting for a batch", (Query("reviews_worker_queue_reviews{$W}", WORKER),)),
            Panel(
                "Tokens",
                (
                    Query("sum(rate(reviews_worker_real_tokens_total{$W}[$__rate_interval]))", "real"),
                    Query("sum(rate(reviews_worker_padded_tokens_total{$W}[$__rate_interval]))", "computed"),
                ),
                unit="cps",
            ),
            Panel(
                "Batches",
                (Query(per_worker("rate(reviews_worker_batches_total{$W}[$__rate_interval])"), WORKER),),
                unit="cps",
            ),
            Panel(
                "Reviews longer than the model",
                (
                    Query("sum by (policy) (rate(reviews_worker_overflows_total{$W}[$__rate_interval]))", "{{policy}}"),
                    Query("sum(rate(reviews_worker_windows_total{$W}[$__rate_interval]))", "windows computed"),
                ),
                unit="cps",
            ),
        ),
    ),
    Row(
        "Delivery",
        (
            Panel("From the producer to the acknowledgement", quantiles("publish_seconds"), unit="s"),
            Panel(
                "Commits",
                (Query("sum by (outcome) (rate(reviews_worker_commits_total{$W}[$__rate_interval]))", "{{outcome}}"),),
                unit="cps",
            ),
            Panel(
                "Transactions (exactly once)",
                (
                    Query(
                        "sum by (outcome) (rate(reviews_worker_transactions_total{$W}[$__rate_interval]))",
                        "{{outcome}}",
                    ),
                ),
                unit="cps",
            ),
            Panel(
                "Tried again",
                (Query("sum by (stage) (rate(reviews_worker_retries_total{$W}[$__rate_interval]))", "{{stage}}"),),
                unit="cps",
                width=12,
            ),
            Panel(
                "Dropped, and read again by another worker",
                (Query(per_worker("rate(reviews_worker_stale_events_total{$W}[$__rate_interval])"), WORKER),),
                unit="cps",
                width=12,
            ),
        ),
    ),
    Row(
        "Dead letters",
        (
            Panel(
                "Dead letters, by reason",
                (
                    Query(
                        "sum by (reason) (rate(reviews_worker_dead_letters_total{$W}[$__rate_interval]))", "{{reason}}"
                    ),
                ),
                unit="cps",
                stacked=True,
            ),
            Panel(
                "Share of all events",
                (
                    Query(
                        "sum(rate(reviews_worker_dead_letters_total{$W}[$__rate_interval]))"
                        " / sum(rate(reviews_worker_events_in_total{$W}[$__rate_interval]))",
                        "share",
                    ),
                ),
                unit="percentunit",
                text="The fuse stops a worker at half of the last thousand (fuse_share, fuse_window_reviews).",
            ),
            Panel(
                "Within the time that is shown",
                (
                    Query(
                        "sum by (reason) (increase(reviews_worker_dead_letters_total{$W}[$__range])) > 0", "{{reason}}"
                    ),
                ),
                kind="table",
            ),
        ),
    ),
    Row(
        "GPU and provider",
        (
            Panel(
                "Workers, by provider",
                (Query("sum by (provider) (reviews_worker_provider{$W})", "{{provider}}"),),
                stacked=True,
            ),
            Panel(
                "GPU that cannot be used",
                (Query("reviews_worker_gpu_fallback{$W}", WORKER),),
                text="1 where there is a GPU and the model runs on the CPU all the same.",
                highest=1,
            ),
            Panel(
                "Failed computations",
                (
                    Query(
                        "sum by (kind) (rate(reviews_worker_inference_failures_total{$W}[$__rate_interval]))",
                        "{{kind}}",
                    ),
                ),
                unit="cps",
            ),
            Panel(
                "Batches under way",
                (Query(per_worker("rate(reviews_worker_inference_seconds_sum{$W}[$__rate_interval])"), WORKER),),
                text="Seconds of computing in each second: how many batches a worker computes side by side.",
            ),
            Panel("Computing a batch", quantiles("inference_seconds"), unit="s"),
            Panel(
                "Models",
                (
                    Query(
                        "count by (name, version, precision) (reviews_worker_model{$W})",
                        "{{name}}@{{version}} {{precision}}",
                    ),
                ),
                kind="table",
            ),
        ),
    ),
    Row(
        "Process",
        (
            Panel("Cores in use", (Query("rate(process_cpu_seconds_total{$W}[$__rate_interval])", WORKER),)),
            Panel("Memory", (Query("process_resident_memory_bytes{$W}", WORKER),), unit="bytes"),
            Panel("Open files", (Query("process_open_fds{$W}", WORKER),)),
            Panel("Running for", (Query("time() - process_start_time_seconds{$W}", WORKER),), unit="s", width=12),
            Panel(
                "Workers as they were started",
                (Query("reviews_worker_info{$W}", WORKER),),
                kind="table",
                width=12,
            ),
        ),
    ),
)
