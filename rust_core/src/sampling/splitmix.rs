//! `SplitMix64` (Steele, Lea, Flood 2014): random words of 64 bits, by number or one after another.
//!
//! By number is what samples use: a layer stays the same when there are more of them.

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The random word with this number, from 0, under this key.
///
/// It depends on nothing else, so a word can be the key of further words.
#[must_use]
pub fn word(key: u64, number: u64) -> u64 {
    mixed(key.wrapping_add(GOLDEN.wrapping_mul(number.wrapping_add(1))))
}

fn mixed(state: u64) -> u64 {
    let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

/// The words of a key one after another: `word(key, 0)`, `word(key, 1)`, ... The field is the state,
/// at first the key.
#[derive(Debug, Clone)]
pub struct SplitMix64(pub u64);

impl SplitMix64 {
    /// The next word.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        mixed(self.0)
    }

    /// A number in `0..end`, from the next word. The bias of the remainder is below `end / 2^64`.
    ///
    /// # Panics
    ///
    /// If `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next_u64() % end
    }

    /// A number in `1..=most`, from the next word.
    ///
    /// # Panics
    ///
    /// If `most` is 0.
    pub fn up_to(&mut self, most: u64) -> u64 {
        1 + self.below(most)
    }
}

#[cfg(test)]
mod tests {
    use super::{SplitMix64, word};

    #[test]
    fn words_are_those_of_the_published_generator() {
        let published =
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!([0, 1, 2].map(|number| word(1_234_567, number)), published);
        let mut stream = SplitMix64(1_234_567);
        assert_eq!(published.map(|_| stream.next_u64()), published);
    }
}
