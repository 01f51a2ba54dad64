//! Bounds on one request. What exceeds one is answered `too-costly` (or `too-long`, for the text), by name.

/// Longest query, bytes.
pub const MAX_QUERY: usize = 256 * 1024;
/// Most tokens of a query, white space counted.
pub const MAX_TOKENS: usize = 60_000;
/// Deepest nesting of selections and of values written in a query.
pub const MAX_DEPTH: usize = 40;
/// Most fields of a query, each counted as often as fragments repeat it.
pub const MAX_FIELDS: usize = 5_000;
/// Most types that the fields of a query are looked up in, all together; a field of any resource is looked up in all.
pub const MAX_LOOKUPS: usize = 500_000;
/// Most values of one answer.
pub const MAX_VALUES: usize = 500_000;
/// Largest answer, bytes, as far as names and values go.
pub const MAX_OUTPUT: usize = 32 * 1024 * 1024;
/// Most resources that one request reads.
pub const MAX_RESOURCES: usize = 5_000;
/// Most searches of one request.
pub const MAX_SEARCHES: usize = 500;
/// Most times that what was read leads to more that is to be read: how many references a query may follow in a row.
pub const MAX_ROUNDS: usize = 12;
/// Most resources of a `...List` that names no `_count`; one with more matches is an error.
pub const MAX_LIST: usize = 1_000;
/// Most mutations of one request.
pub const MAX_MUTATIONS: usize = 50;
