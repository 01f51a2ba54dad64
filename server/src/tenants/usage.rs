//! What a tenant has spent in request units, and whether its budget lets it go on. Counts in this process only.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use fhirpath::IssueType;
use interaction::{Failure, Status};
use store::Timestamp;

use crate::http::route::Interaction;

const DAY_MS: i64 = 86_400_000;

/// What a tenant may spend.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Budget {
    /// Request units a second; what one second leaves over is not kept.
    pub per_second: Option<u64>,
    /// Request units a day, UTC.
    pub per_day: Option<u64>,
}

/// A budget that is spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spent {
    /// Its name in the table of tenants.
    pub budget: &'static str,
    /// How many request units it is.
    pub units: u64,
    /// When there is more, ms from now.
    pub again_ms: u64,
}

impl From<Spent> for Failure {
    fn from(spent: Spent) -> Failure {
        let (budget, units) = (spent.budget, spent.units);
        let span = if budget == PER_DAY { "day" } else { "second" };
        let details = format!(
            "The budget of {units} request units a {span} ({budget}) is spent; nothing was done. Try again after the time in Retry-After."
        );
        Failure::new(Status::TooManyRequests, IssueType::Throttled, details)
            .retry_after(std::time::Duration::from_millis(spent.again_ms))
    }
}

const PER_SECOND: &str = "ru_per_second";
const PER_DAY: &str = "ru_per_day";

/// What one tenant has spent.
#[derive(Default)]
pub struct Usage {
    /// Thousandths of request units, by interaction.
    milli: [AtomicU64; Interaction::COUNT],
    running: Mutex<Running>,
}

/// What counts against the budgets now.
#[derive(Debug, Clone, Copy, Default)]
struct Running {
    /// Request units that were spent and not yet allowed for.
    owed: f64,
    at_ms: i64,
    day: i64,
    of_day: f64,
}

impl Running {
    /// Lets the time pass.
    fn until(&mut self, now: Timestamp, budget: Budget) {
        let (now_ms, day) = (now.0, now.0.div_euclid(DAY_MS));
        #[allow(clippy::cast_precision_loss, reason = "a budget and milliseconds, to a few digits")]
        if let Some(rate) = budget.per_second {
            let seconds = now_ms.saturating_sub(self.at_ms).max(0) as f64 / 1000.0;
            self.owed = (self.owed - seconds * rate as f64).max(0.0);
        }
        self.at_ms = self.at_ms.max(now_ms);
        if day > self.day {
            (self.day, self.of_day) = (day, 0.0);
        }
    }
}

impl Usage {
    /// Whether a request may begin.
    ///
    /// # Errors
    /// The budget that is spent.
    pub fn admit(&self, budget: Budget, now: Timestamp) -> Result<(), Spent> {
        if budget == Budget::default() {
            return Ok(());
        }
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.until(now, budget);
        #[allow(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a budget and milliseconds, to a few digits; not negative"
        )]
        if let Some(rate) = budget.per_second
            && running.owed >= rate as f64
        {
            let again_ms = ((running.owed - rate as f64) / rate as f64 * 1000.0).ceil() as u64;
            return Err(Spent { budget: PER_SECOND, units: rate, again_ms });
        }
        #[allow(clippy::cast_precision_loss, reason = "a budget, to a few digits")]
        if let Some(most) = budget.per_day
            && running.of_day >= most as f64
        {
            let again_ms = u64::try_from(DAY_MS - now.0.rem_euclid(DAY_MS)).unwrap_or(0);
            return Err(Spent { budget: PER_DAY, units: most, again_ms });
        }
        Ok(())
    }

    /// Counts what a request cost.
    pub fn charge(&self, interaction: Interaction, units: f64, budget: Budget, now: Timestamp) {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "charges are small and not negative; a cast saturates"
        )]
        let milli = (units * 1000.0).round() as u64;
        if let Some(counter) = self.milli.get(interaction as usize) {
            counter.fetch_add(milli, Relaxed);
        }
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.until(now, budget);
        running.owed += units;
        running.of_day += units;
    }

    /// The request units of each interaction that cost any.
    pub fn by_interaction(&self) -> impl Iterator<Item = (Interaction, f64)> {
        Interaction::ALL.into_iter().zip(&self.milli).filter_map(|(interaction, counter)| {
            #[allow(clippy::cast_precision_loss, reason = "exact to 2^53 thousandths")]
            let units = counter.load(Relaxed) as f64 / 1000.0;
            (units > 0.0).then_some((interaction, units))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp(20_000 * DAY_MS + seconds * 1000)
    }

    #[test]
    fn a_second() {
        let (usage, budget) = (Usage::default(), Budget { per_second: Some(100), per_day: None });
        assert_eq!(usage.admit(budget, at(0)), Ok(()));
        usage.charge(Interaction::Read, 99.0, budget, at(0));
        assert_eq!(usage.admit(budget, at(0)), Ok(()));
        usage.charge(Interaction::SearchType, 251.0, budget, at(0));
        let spent = Spent { budget: "ru_per_second", units: 100, again_ms: 2500 };
        assert_eq!(usage.admit(budget, at(0)), Err(spent));
        assert!(usage.admit(budget, at(2)).is_err());
        assert_eq!(usage.admit(budget, at(3)), Ok(()));
        let failure = Failure::from(spent);
        assert_eq!((failure.status, failure.retry_after_s), (Status::TooManyRequests, Some(3)));
        assert_eq!(
            failure.issues.first().map(|issue| issue.details.as_str()),
            Some(
                "The budget of 100 request units a second (ru_per_second) is spent; nothing was done. Try again after the time in Retry-After."
            )
        );
    }

    #[test]
    fn a_day() {
        let (usage, budget) = (Usage::default(), Budget { per_second: None, per_day: Some(10) });
        usage.charge(Interaction::Read, 10.0, budget, at(86_000));
        let spent = Spent { budget: "ru_per_day", units: 10, again_ms: 400_000 };
        assert_eq!(usage.admit(budget, at(86_000)), Err(spent));
        assert_eq!(usage.admit(budget, at(86_400)), Ok(()), "the next day");
        assert_eq!(usage.admit(Budget::default(), at(86_000)), Ok(()), "no budget");
    }

    #[test]
    fn by_interaction() {
        let usage = Usage::default();
        usage.charge(Interaction::Read, 1.0, Budget::default(), at(0));
        usage.charge(Interaction::Read, 0.5, Budget::default(), at(0));
        let all: Vec<_> = usage.by_interaction().map(|(which, units)| (which.name(), units)).collect();
        assert_eq!(all, [("read", 1.5)]);
    }
}
