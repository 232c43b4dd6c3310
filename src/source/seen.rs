//! Ids that were used.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

/// The ids that came so far, as 128-bit hashes: two different ids of 10⁹ are taken for one with a chance of 10⁻²¹. Takes
/// 16 bytes an id, 20 to 40 with the table's empty places.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Keyed at random: nobody can make up two ids that collide.
    hashers: [RandomState; 2],
    hashes: HashSet<u128>,
}

impl Seen {
    /// Remembers the id; whether it is a new one.
    pub(super) fn is_new(&mut self, id: &str) -> bool {
        let [low, high] = self.hashers.each_ref().map(|hasher| u128::from(hasher.hash_one(id)));
        self.hashes.insert(high << 64 | low)
    }
}
