//! How long the engine waits for what. Waits for nothing itself.

use std::time::Duration;

/// All times of the protocol; tests shorten them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timings {
    /// How long another process's unfinished transaction is waited for, from when this process first met it,
    /// before it is killed in the log.
    pub in_flight: Duration,
    /// How long after its staging began a transaction may still enter the log; by the clock of its process. It bounds how
    /// long the largest transaction may take at the service's pace.
    pub stage_life: Duration,
    /// How old a transaction is when the sweep takes it for decided. More than `stage_life` and twice `skew`.
    pub grace: Duration,
    /// What was staged so long after its transaction began never enters the log, whatever else is known of the
    /// transaction. More than `stage_life` and twice `skew`, less than `grace`.
    pub late: Duration,
    /// How long superseded versions can be found by searches that began before; twice what a search may take.
    pub snapshot_life: Duration,
    /// How long the log is asked again when its answer to an append was lost.
    pub settle: Duration,
    /// Between two sweeps.
    pub sweep: Duration,
    /// Most difference between this process's clock and the service's.
    pub skew: Duration,
}

impl Default for Timings {
    fn default() -> Timings {
        Timings {
            in_flight: Duration::from_secs(2),
            stage_life: Duration::from_secs(300),
            grace: Duration::from_secs(600),
            late: Duration::from_secs(480),
            snapshot_life: Duration::from_secs(120),
            settle: Duration::from_secs(10),
            sweep: Duration::from_secs(60),
            skew: Duration::from_secs(60),
        }
    }
}

/// A duration in whole milliseconds.
pub(super) fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// What tests change of an engine.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    pub timings: Timings,
    /// The process's clock, ms since 1970.
    pub clock: fn() -> i64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { timings: Timings::default(), clock: || crate::Timestamp::now().0 }
    }
}
