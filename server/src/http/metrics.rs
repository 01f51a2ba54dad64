//! Counters of requests, in Prometheus' text format
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>). Counting is a few relaxed atomic additions.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use axum::http::StatusCode;

use store::Tenant;

use super::route::Interaction;
use crate::tenants::usage::Usage;

/// Upper ends of the latency buckets, microseconds.
const BOUNDS_US: [u64; 14] =
    [50, 100, 250, 500, 1000, 2500, 5000, 10_000, 25_000, 100_000, 250_000, 1_000_000, 5_000_000, 30_000_000];

/// One series: an interaction, or everything that is none.
#[derive(Default)]
struct Series {
    by_class: [AtomicU64; 5],
    buckets: [AtomicU64; BOUNDS_US.len() + 1],
    sum_us: AtomicU64,
}

/// What is counted for each tenant.
pub struct TenantFigures {
    /// Which.
    pub tenant: Tenant,
    /// Its request units.
    pub usage: Arc<Usage>,
    /// Its current resources by type.
    pub counts: Vec<(Box<str>, u64)>,
}

/// All counters of a server.
#[derive(Default)]
pub struct Metrics {
    interactions: [Series; Interaction::COUNT],
    other: Series,
    /// Connections now open.
    pub connections: AtomicU64,
    /// Panics that became a 500.
    pub panics: AtomicU64,
}

impl Metrics {
    /// Counts a request; `None` for one that is no FHIR interaction.
    pub fn count(&self, interaction: Option<Interaction>, status: StatusCode, took: Duration) {
        let series =
            interaction.and_then(|which| self.interactions.get(which as usize)).unwrap_or(&self.other);
        let class = usize::from(status.as_u16() / 100).saturating_sub(1);
        if let Some(counter) = series.by_class.get(class) {
            counter.fetch_add(1, Relaxed);
        }
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_US.iter().position(|bound| micros <= *bound).unwrap_or(BOUNDS_US.len());
        if let Some(counter) = series.buckets.get(bucket) {
            counter.fetch_add(1, Relaxed);
        }
        series.sum_us.fetch_add(micros, Relaxed);
    }

    /// The page of metrics. `limited` is how many requests were refused by address, and by app.
    pub fn render(
        &self,
        tenants: &[TenantFigures],
        audit: Option<&audit::Counts>,
        limited: [u64; 2],
    ) -> String {
        let mut out = String::with_capacity(8192);
        let named =
            Interaction::ALL.iter().zip(&self.interactions).map(|(which, series)| (which.name(), series));
        let all: Vec<(&str, &Series)> = named.chain([("other", &self.other)]).collect();
        requests(&all, &mut out);
        durations(&all, &mut out);
        let gauge = |out: &mut String, name: &str, kind: &str, help: &str, value: u64| {
            // Writing into a String cannot fail.
            let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n");
        };
        gauge(&mut out, "vesta_connections", "gauge", "Open connections.", self.connections.load(Relaxed));
        gauge(
            &mut out,
            "vesta_panics_total",
            "counter",
            "Requests that failed by a fault of the program.",
            self.panics.load(Relaxed),
        );
        out.push_str("# HELP vesta_requests_limited_total Requests refused because too many came.\n");
        out.push_str("# TYPE vesta_requests_limited_total counter\n");
        for (by, count) in ["address", "client"].iter().zip(limited) {
            let _ = writeln!(out, "vesta_requests_limited_total{{by=\"{by}\"}} {count}");
        }
        out.push_str("# HELP vesta_resources Current resources.\n# TYPE vesta_resources gauge\n");
        for TenantFigures { tenant, counts, .. } in tenants {
            for (resource_type, count) in counts {
                let tenant = tenant.as_str();
                let _ =
                    writeln!(out, "vesta_resources{{tenant=\"{tenant}\",type=\"{resource_type}\"}} {count}");
            }
        }
        units(tenants, &mut out);
        if let Some(counts) = audit {
            audited(counts, &mut out);
        }
        let _ = write!(
            out,
            "# HELP vesta_build_info The program's version.\n# TYPE vesta_build_info gauge\nvesta_build_info{{version=\"{}\"}} 1\n",
            env!("CARGO_PKG_VERSION")
        );
        out
    }
}

fn audited(counts: &audit::Counts, out: &mut String) {
    for (name, kind, help, value) in [
        ("vesta_audit_events_total", "counter", "Events written to the audit log.", &counts.written),
        ("vesta_audit_events_lost_total", "counter", "Events that the audit log lost.", &counts.lost),
        (
            "vesta_audit_failures_total",
            "counter",
            "Attempts to write the audit log that failed.",
            &counts.failures,
        ),
        ("vesta_audit_events_waiting", "gauge", "Events that wait to be written.", &counts.waiting),
    ] {
        let value = value.load(Relaxed);
        // Writing into a String cannot fail.
        let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n");
    }
}

fn units(tenants: &[TenantFigures], out: &mut String) {
    out.push_str("# HELP vesta_request_units_total Request units of the store.\n");
    out.push_str("# TYPE vesta_request_units_total counter\n");
    for TenantFigures { tenant, usage, .. } in tenants {
        for (interaction, units) in usage.by_interaction() {
            let (tenant, interaction) = (tenant.as_str(), interaction.name());
            let _ = writeln!(
                out,
                "vesta_request_units_total{{tenant=\"{tenant}\",interaction=\"{interaction}\"}} {units}"
            );
        }
    }
}

fn requests(all: &[(&str, &Series)], out: &mut String) {
    out.push_str("# HELP vesta_requests_total Requests answered.\n# TYPE vesta_requests_total counter\n");
    for (name, series) in all {
        for (class, counter) in (1..).zip(&series.by_class) {
            let count = counter.load(Relaxed);
            if count > 0 {
                let _ = writeln!(
                    out,
                    "vesta_requests_total{{interaction=\"{name}\",status=\"{class}xx\"}} {count}"
                );
            }
        }
    }
}

fn durations(all: &[(&str, &Series)], out: &mut String) {
    out.push_str("# HELP vesta_request_duration_seconds Time from the request's head to the response's.\n");
    out.push_str("# TYPE vesta_request_duration_seconds histogram\n");
    for (name, series) in all {
        let counts: Vec<u64> = series.buckets.iter().map(|bucket| bucket.load(Relaxed)).collect();
        let total: u64 = counts.iter().sum();
        if total == 0 {
            continue;
        }
        let mut below = 0;
        for (bound, count) in BOUNDS_US.iter().zip(&counts) {
            below += count;
            let seconds = Duration::from_micros(*bound).as_secs_f64();
            let _ = writeln!(
                out,
                "vesta_request_duration_seconds_bucket{{interaction=\"{name}\",le=\"{seconds}\"}} {below}"
            );
        }
        let sum = Duration::from_micros(series.sum_us.load(Relaxed)).as_secs_f64();
        let _ = write!(
            out,
            "vesta_request_duration_seconds_bucket{{interaction=\"{name}\",le=\"+Inf\"}} {total}\n\
             vesta_request_duration_seconds_sum{{interaction=\"{name}\"}} {sum}\n\
             vesta_request_duration_seconds_count{{interaction=\"{name}\"}} {total}\n"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tenants::usage::Budget;
    use store::Timestamp;

    #[test]
    fn counted_and_rendered() {
        let metrics = Metrics::default();
        metrics.count(Some(Interaction::Read), StatusCode::OK, Duration::from_micros(60));
        metrics.count(Some(Interaction::Read), StatusCode::NOT_FOUND, Duration::from_secs(100));
        metrics.count(None, StatusCode::OK, Duration::from_micros(1));
        let usage = Arc::<Usage>::default();
        usage.charge(Interaction::SearchType, 2.25, Budget::default(), Timestamp(0));
        let tenant = Tenant::new("acme").unwrap();
        let text = metrics.render(
            &[TenantFigures { tenant, usage, counts: vec![("Patient".into(), 7)] }],
            Some(&audit::Counts::default()),
            [3, 0],
        );
        for line in [
            "vesta_requests_total{interaction=\"read\",status=\"2xx\"} 1",
            "vesta_requests_total{interaction=\"read\",status=\"4xx\"} 1",
            "vesta_requests_total{interaction=\"other\",status=\"2xx\"} 1",
            "vesta_request_duration_seconds_bucket{interaction=\"read\",le=\"0.00005\"} 0",
            "vesta_request_duration_seconds_bucket{interaction=\"read\",le=\"0.0001\"} 1",
            "vesta_request_duration_seconds_bucket{interaction=\"read\",le=\"30\"} 1",
            "vesta_request_duration_seconds_bucket{interaction=\"read\",le=\"+Inf\"} 2",
            "vesta_request_duration_seconds_sum{interaction=\"read\"} 100.00006",
            "vesta_audit_events_lost_total 0",
            "vesta_requests_limited_total{by=\"address\"} 3",
            "vesta_resources{tenant=\"acme\",type=\"Patient\"} 7",
            "vesta_request_units_total{tenant=\"acme\",interaction=\"search-type\"} 2.25",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
        assert!(!text.contains("interaction=\"vread\""));
    }
}
