//! Where each committed value of a session proof lives: the scratch slots, and the commitments that hold them.
//!
//! Commitments are numbered in the order in which they are sent; each has a block of slots of its own:
//! two for a sumcheck round, one each for alpha, beta and gamma.

use lorica_argument::form::{RoundSlots, Slot};

use crate::statement::Sizes;

/// The layout of the scratch slots for given sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    pair_rounds: usize,
    later_rounds: usize,
    module_rounds: usize,
}

const ROUND_SLOTS: usize = 2;
const FACTORS: usize = 3;

impl Layout {
    /// The layout for given sizes.
    pub fn new(sizes: &Sizes) -> Self {
        Self {
            pair_rounds: sizes.pair_rounds,
            later_rounds: sizes.module_rounds.saturating_add(sizes.item_rounds),
            module_rounds: sizes.module_rounds,
        }
    }

    /// Number of slots, S.
    pub fn slots(&self) -> usize {
        ROUND_SLOTS.saturating_mul(self.pair_rounds.saturating_add(self.later_rounds)).saturating_add(FACTORS)
    }

    /// Number of slots of each commitment, in the order of sending.
    pub fn blocks(&self) -> impl Iterator<Item = usize> + Clone {
        let rounds = |count| std::iter::repeat_n(ROUND_SLOTS, count);
        rounds(self.pair_rounds).chain([1; FACTORS]).chain(rounds(self.later_rounds))
    }

    /// The slots of a round of the first sumcheck.
    pub fn pair_round(&self, round: usize) -> RoundSlots {
        round_at(ROUND_SLOTS.saturating_mul(round))
    }

    /// alpha, the extension of `z_m(k) a_k` at p.
    pub fn alpha(&self) -> Slot {
        Slot(ROUND_SLOTS.saturating_mul(self.pair_rounds))
    }

    /// beta, the extension of `b_k` at p.
    pub fn beta(&self) -> Slot {
        Slot(self.alpha().0.saturating_add(1))
    }

    /// gamma, the last claim of the first sumcheck.
    pub fn gamma(&self) -> Slot {
        Slot(self.alpha().0.saturating_add(2))
    }

    /// The slots of a module round of the second sumcheck.
    pub fn module_round(&self, round: usize) -> RoundSlots {
        round_at(self.alpha().0.saturating_add(FACTORS).saturating_add(ROUND_SLOTS.saturating_mul(round)))
    }

    /// The slots of an item round of the second sumcheck.
    pub fn item_round(&self, round: usize) -> RoundSlots {
        self.module_round(self.module_rounds.saturating_add(round))
    }
}

fn round_at(first: usize) -> RoundSlots {
    RoundSlots { constant: Slot(first), leading: Slot(first.saturating_add(1)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_follow_one_another_and_cover_all_slots() {
        let sizes = Sizes {
            pairs: 24,
            modules: 3,
            width: 9,
            inputs: 9,
            outputs: 5,
            pair_rounds: 5,
            module_rounds: 2,
            item_rounds: 4,
        };
        let layout = Layout::new(&sizes);
        let mut slots = Vec::new();
        slots.extend((0..5).flat_map(|i| [layout.pair_round(i).constant, layout.pair_round(i).leading]));
        slots.extend([layout.alpha(), layout.beta(), layout.gamma()]);
        slots.extend((0..2).flat_map(|i| [layout.module_round(i).constant, layout.module_round(i).leading]));
        slots.extend((0..4).flat_map(|i| [layout.item_round(i).constant, layout.item_round(i).leading]));
        assert_eq!(slots, (0..layout.slots()).map(Slot).collect::<Vec<_>>());
        assert_eq!(layout.blocks().sum::<usize>(), layout.slots());
    }
}
