//! Session tokens: how far each partition was seen, so that a read finds what was seen before it, whoever wrote it. The SDK
//! keeps the tokens of its own requests; those of other processes come through the log, and are kept here. See
//! <https://learn.microsoft.com/azure/cosmos-db/consistency-levels#session-consistency>.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Tokens by partition, each the latest seen: `7:-1#42` says that partition 7 was seen up to its 42nd change.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    latest: Mutex<BTreeMap<String, String>>,
}

impl Sessions {
    /// Adds tokens, several of them separated by commas.
    pub(super) fn learn(&self, tokens: &str) {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        for (partition, progress) in tokens.split(',').filter_map(|token| token.trim().split_once(':')) {
            match latest.get_mut(partition) {
                Some(known) if rank(known) >= rank(progress) => {}
                Some(known) => progress.clone_into(known),
                None => {
                    latest.insert(partition.to_owned(), progress.to_owned());
                }
            }
        }
    }

    /// All of them, separated by commas; `None` if there is none.
    pub(super) fn token(&self) -> Option<String> {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let tokens: Vec<String> =
            latest.iter().map(|(partition, progress)| format!("{partition}:{progress}")).collect();
        (!tokens.is_empty()).then(|| tokens.join(","))
    }
}

/// What a later token has more of: `version#changes#region=changes...`, or the old `changes` alone.
fn rank(progress: &str) -> (i64, u64) {
    let mut parts = progress.split('#');
    let (first, second) = (parts.next(), parts.next());
    let changes = second.or(first).and_then(|changes| changes.parse().ok()).unwrap_or(0);
    let version = second.and(first).and_then(|version| version.parse().ok()).unwrap_or(-1);
    (version, changes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_token_of_each_partition_is_kept() {
        let check = |learned: &[&str], token: Option<&str>| {
            let sessions = Sessions::default();
            learned.iter().for_each(|tokens| sessions.learn(tokens));
            assert_eq!(sessions.token().as_deref(), token, "{learned:?}");
        };
        check(&[], None);
        check(&["", "nonsense"], None);
        check(&["0:-1#9", "0:-1#10"], Some("0:-1#10"));
        check(&["0:-1#10", "0:-1#9"], Some("0:-1#10"));
        check(&["0:1#9#0=9", "1:1#4#0=4"], Some("0:1#9#0=9,1:1#4#0=4"));
        check(&["0:1#9#0=9, 1:1#4#0=4", "1:1#5#0=5"], Some("0:1#9#0=9,1:1#5#0=5"));
        check(&["0:1#90", "0:2#10"], Some("0:2#10"));
        check(&["0:7", "0:8"], Some("0:8"));
    }
}
