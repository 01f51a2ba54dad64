//! Numbers that look random and are always the same.

/// A sequence (splitmix64).
pub struct Random {
    state: u64,
}

impl Random {
    /// The sequence of a seed.
    pub fn new(seed: u64) -> Random {
        Random { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number of `low..=high`.
    pub fn number(&mut self, low: i32, high: i32) -> i32 {
        let width = u64::try_from(i64::from(high) - i64::from(low) + 1).unwrap_or(1);
        i32::try_from(i64::from(low) + i64::try_from(self.next() % width).unwrap_or(0)).unwrap_or(low)
    }

    /// True, so many times of a hundred.
    pub fn chance(&mut self, percent: i32) -> bool {
        self.number(1, 100) <= percent
    }

    /// One of the items. The list must not be empty.
    pub fn pick<'i, T>(&mut self, items: &'i [T]) -> Option<&'i T> {
        let at = self.number(0, i32::try_from(items.len()).unwrap_or(1) - 1);
        items.get(usize::try_from(at).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn within_bounds_and_spread() {
        let mut random = Random::new(7);
        let mut seen = [0; 6];
        for _ in 0..600 {
            let number = random.number(1, 6);
            assert!((1..=6).contains(&number));
            seen[usize::try_from(number - 1).unwrap()] += 1;
        }
        assert!(seen.iter().all(|count| *count > 60), "{seen:?}");
        assert_eq!(Random::new(7).number(0, 1_000_000), Random::new(7).number(0, 1_000_000));
    }
}
