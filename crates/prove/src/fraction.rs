//! One fraction tree: its levels, and the rounds of a layer over them.
//!
//! A level is two tables, numerators and denominators; the lower children of all nodes are the lower half of the next
//! level. The two levels nearest to the leaves hold three quarters of all fractions: they are not kept but made again from
//! the leaves, chunk by chunk, where a round needs them. Touching memory for the first time costs more than that.
//!
//! Everything here follows from private leaves: tables are wiped when they are dropped.

use ark_ff::Zero;
use lorica_algebra::Scalar;
use lorica_algebra::kernels::field::{self, Fractions, LayerHalves, RoundSums};
use lorica_algebra::kernels::table::zeroed_table;
use lorica_algebra::multilinear::{eq_table, variables};
use rayon::prelude::*;
use zeroize::Zeroize;

/// The leaves of a tree, padded with `0 / 1` up to a power of two.
pub enum Leaves<'a> {
    /// `1 / denominators[word]` for each word.
    Words {
        /// The words.
        words: &'a [u16],
        /// One for each number of 16 bits.
        denominators: Vec<Scalar>,
    },
    /// Any fractions, as many numerators as denominators.
    Fractions {
        /// Numerators.
        numerators: Vec<Scalar>,
        /// Denominators.
        denominators: Vec<Scalar>,
    },
}

/// Numerators and denominators of a level.
struct Level {
    numerators: Vec<Scalar>,
    denominators: Vec<Scalar>,
}

impl Drop for Level {
    fn drop(&mut self) {
        // Not the vectors themselves: that would wipe their capacity once more, byte after byte.
        self.numerators.iter_mut().zeroize();
        self.denominators.iter_mut().zeroize();
    }
}

/// A fraction tree with the levels that are kept.
pub struct FractionTree<'a> {
    leaves: Leaves<'a>,
    depth: usize,
    /// Levels 0, 1, .. up to the lowest that is kept.
    levels: Vec<Level>,
}

/// Nodes that one task handles: eight tables of a chunk stay in the second-level cache.
const CHUNK_BITS: usize = 9;
const CHUNK: usize = 1 << CHUNK_BITS;

/// Levels near the leaves that are not kept in a large tree of words.
const LEVELS_MADE_AGAIN: usize = 2;

/// The depth from which a tree is large: below it a layer is a few chunks.
const LARGE_DEPTH: usize = 14;

impl<'a> FractionTree<'a> {
    /// Sums all fractions, level by level.
    pub fn new(leaves: Leaves<'a>) -> Self {
        let count = match &leaves {
            Leaves::Words { words, .. } => words.len(),
            Leaves::Fractions { denominators, .. } => denominators.len(),
        };
        let depth = variables(count);
        let made_again = if depth >= LARGE_DEPTH && matches!(leaves, Leaves::Words { .. }) {
            LEVELS_MADE_AGAIN
        } else {
            0
        };
        Self::with_levels_made_again(leaves, depth, made_again)
    }

    fn with_levels_made_again(leaves: Leaves<'a>, depth: usize, made_again: usize) -> Self {
        let lowest = depth - made_again;
        let mut tree = Self { leaves, depth, levels: Vec::new() };
        let mut level = Level::zeroed(1 << lowest);
        level
            .numerators
            .par_chunks_mut(CHUNK)
            .zip(level.denominators.par_chunks_mut(CHUNK))
            .enumerate()
            .for_each(|(chunk, (p, q))| tree.fill(lowest, chunk * CHUNK, p, q));
        let mut levels = vec![level];
        while let Some(below) = levels.last().filter(|level| level.numerators.len() > 1) {
            let half = below.numerators.len() / 2;
            let mut level = Level::zeroed(half);
            let (p_low, p_high) = below.numerators.split_at(half);
            let (q_low, q_high) = below.denominators.split_at(half);
            level
                .numerators
                .par_chunks_mut(CHUNK)
                .zip(level.denominators.par_chunks_mut(CHUNK))
                .zip(p_low.par_chunks(CHUNK).zip(q_low.par_chunks(CHUNK)))
                .zip(p_high.par_chunks(CHUNK).zip(q_high.par_chunks(CHUNK)))
                .for_each(|(((p, q), low), high)| {
                    let fractions = |(numerators, denominators)| Fractions { numerators, denominators };
                    field::add_fractions(fractions(low), fractions(high), p, q);
                });
            levels.push(level);
        }
        levels.reverse();
        tree.levels = levels;
        tree
    }

    /// The depth: a power of two of leaves, padding included.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Numerator and denominator of the sum of all fractions.
    pub fn root(&self) -> [Scalar; 2] {
        self.levels
            .first()
            .map_or([Scalar::zero(), Scalar::from(1u8)], |root| [root.numerators[0], root.denominators[0]])
    }

    /// Fills in fractions `first, first + 1, ..` of a level that is not kept, from the leaves.
    fn fill(&self, level: usize, first: usize, p: &mut [Scalar], q: &mut [Scalar]) {
        let one = Scalar::from(1u8);
        if level < self.depth {
            let (low, high) = (first, first + (1 << level));
            let length = p.len();
            let mut children = [(); 3].map(|()| vec![Scalar::zero(); length]);
            let [q_low, p_high, q_high] = &mut children;
            if level + 1 == self.depth {
                // Where there is an upper leaf, both numerators are 1; where there is none, the node is the lower leaf.
                let paired = self.leaf_count().saturating_sub(high).min(length);
                if let Leaves::Words { .. } = self.leaves {
                    self.fill(level + 1, low, p, q_low);
                    self.fill(level + 1, high, p_high, q_high);
                    let (p, p_rest) = p.split_at_mut(paired);
                    let (q, q_rest) = q.split_at_mut(paired);
                    field::add_inverses(&q_low[..paired], &q_high[..paired], p, q);
                    p_rest.fill(one);
                    q_rest.copy_from_slice(&q_low[paired..]);
                    children.iter_mut().for_each(|table| table.iter_mut().zeroize());
                    return;
                }
            }
            let mut p_low = vec![Scalar::zero(); length];
            self.fill(level + 1, low, &mut p_low, q_low);
            self.fill(level + 1, high, p_high, q_high);
            let fractions = |numerators, denominators| Fractions { numerators, denominators };
            field::add_fractions(fractions(&p_low, q_low), fractions(p_high, q_high), p, q);
            children.iter_mut().for_each(|table| table.iter_mut().zeroize());
            p_low.iter_mut().zeroize();
            return;
        }
        let inside = self.leaf_count().saturating_sub(first).min(p.len());
        let (p_inside, p_rest) = p.split_at_mut(inside);
        let (q_inside, q_rest) = q.split_at_mut(inside);
        match &self.leaves {
            Leaves::Words { words, denominators } => {
                p_inside.fill(one);
                for (q, word) in q_inside.iter_mut().zip(words.get(first..).unwrap_or_default()) {
                    *q = denominators[usize::from(*word)];
                }
            }
            Leaves::Fractions { numerators, denominators } => {
                p_inside.copy_from_slice(&numerators[first..][..inside]);
                q_inside.copy_from_slice(&denominators[first..][..inside]);
            }
        }
        p_rest.fill(Scalar::zero());
        q_rest.fill(one);
    }

    fn leaf_count(&self) -> usize {
        match &self.leaves {
            Leaves::Words { words, .. } => words.len(),
            Leaves::Fractions { denominators, .. } => denominators.len(),
        }
    }

    /// The tables of a layer: the level below it, which must be asked for from the root down.
    pub fn layer(&mut self, layer: usize, lambda: Scalar) -> LayerTables {
        let half = 1usize << layer;
        let kept = if layer + 1 < self.levels.len() {
            // Levels above are not needed any more: the walk goes down.
            let level = std::mem::replace(&mut self.levels[layer + 1], Level::zeroed(0));
            Some(level)
        } else {
            None
        };
        let mut tables = LayerTables { layer, half, length: half, lambda, kept };
        if let Some(level) = &mut tables.kept {
            let p = &mut level.numerators[..half];
            let q = &level.denominators[..half];
            p.par_chunks_mut(CHUNK)
                .zip(q.par_chunks(CHUNK))
                .for_each(|(p, q)| field::add_scaled(p, q, lambda));
        }
        tables
    }
}

impl Level {
    fn zeroed(length: usize) -> Self {
        Self { numerators: zeroed_table(length), denominators: zeroed_table(length) }
    }
}

/// The four tables of a layer: `left = p(0,x) + lambda q(0,x)`, `p(1,x)`, `q(0,x)`, `q(1,x)`.
///
/// Each pair lies in one vector, the second one from `half` on; bound tables are the first `length` entries of each.
pub struct LayerTables {
    layer: usize,
    half: usize,
    length: usize,
    lambda: Scalar,
    /// `None` until the first variable is bound, where the level is made again from the leaves.
    kept: Option<Level>,
}

/// Four tables of a chunk, as they are made again.
struct Chunk {
    left: Vec<Scalar>,
    q_low: Vec<Scalar>,
    p_high: Vec<Scalar>,
    q_high: Vec<Scalar>,
}

impl Chunk {
    fn make(tree: &FractionTree<'_>, tables: &LayerTables, first: usize, length: usize) -> Self {
        let mut chunk = Self {
            left: vec![Scalar::zero(); length],
            q_low: vec![Scalar::zero(); length],
            p_high: vec![Scalar::zero(); length],
            q_high: vec![Scalar::zero(); length],
        };
        let level = tables.layer + 1;
        tree.fill(level, first, &mut chunk.left, &mut chunk.q_low);
        tree.fill(level, first + tables.half, &mut chunk.p_high, &mut chunk.q_high);
        field::add_scaled(&mut chunk.left, &chunk.q_low, tables.lambda);
        chunk
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        for table in [&mut self.left, &mut self.q_low, &mut self.p_high, &mut self.q_high] {
            table.iter_mut().zeroize();
        }
    }
}

impl LayerTables {
    /// The sums of a round: coefficients `h_0` and `h_2`. `rest` are the coordinates of the variables after this one.
    pub fn round(&self, tree: &FractionTree<'_>, rest: &[Scalar]) -> RoundSums {
        let half = self.length / 2;
        let low_bits = rest.len().min(CHUNK_BITS);
        let (high, low) = rest.split_at(rest.len() - low_bits);
        let weights = eq_table(low, 1 << low_bits);
        let factors = eq_table(high, half >> low_bits);
        let zero = RoundSums { constant: Scalar::zero(), leading: Scalar::zero() };
        factors
            .par_iter()
            .enumerate()
            .map(|(chunk, factor)| {
                let (first, length) = (chunk << low_bits, weights.len());
                let sums = match &self.kept {
                    Some(Level { numerators, denominators }) => {
                        let (p_low, p_high) = numerators.split_at(self.half);
                        let (q_low, q_high) = denominators.split_at(self.half);
                        let at_zero = first..first + length;
                        let at_one = half + first..half + first + length;
                        field::layer_sums(
                            &weights,
                            &LayerHalves {
                                left: [&p_low[at_zero.clone()], &p_low[at_one.clone()]],
                                q_high: [&q_high[at_zero.clone()], &q_high[at_one.clone()]],
                                p_high: [&p_high[at_zero.clone()], &p_high[at_one.clone()]],
                                q_low: [&q_low[at_zero], &q_low[at_one]],
                            },
                        )
                    }
                    None => {
                        let at_zero = Chunk::make(tree, self, first, length);
                        let at_one = Chunk::make(tree, self, half + first, length);
                        field::layer_sums(
                            &weights,
                            &LayerHalves {
                                left: [&at_zero.left, &at_one.left],
                                q_high: [&at_zero.q_high, &at_one.q_high],
                                p_high: [&at_zero.p_high, &at_one.p_high],
                                q_low: [&at_zero.q_low, &at_one.q_low],
                            },
                        )
                    }
                };
                RoundSums { constant: sums.constant * factor, leading: sums.leading * factor }
            })
            .reduce(
                || zero,
                |left, right| RoundSums {
                    constant: left.constant + right.constant,
                    leading: left.leading + right.leading,
                },
            )
    }

    /// Binds the first variable.
    pub fn bind(&mut self, tree: &FractionTree<'_>, challenge: Scalar) {
        let length = self.length / 2;
        match &mut self.kept {
            Some(Level { numerators, denominators }) => {
                for table in [numerators, denominators] {
                    let (lower, upper) = table.split_at_mut(self.half);
                    for table in [lower, upper] {
                        let (low, high) = table[..2 * length].split_at_mut(length);
                        low.par_chunks_mut(CHUNK).zip(high.par_chunks_mut(CHUNK)).for_each(|(low, high)| {
                            field::bind(low, high, challenge);
                            high.iter_mut().zeroize();
                        });
                    }
                }
            }
            None => {
                let mut level = Level::zeroed(2 * length);
                let (p_low, p_high) = level.numerators.split_at_mut(length);
                let (q_low, q_high) = level.denominators.split_at_mut(length);
                let parts = p_low
                    .par_chunks_mut(CHUNK)
                    .zip(q_low.par_chunks_mut(CHUNK))
                    .zip(p_high.par_chunks_mut(CHUNK).zip(q_high.par_chunks_mut(CHUNK)));
                parts.enumerate().for_each(|(chunk, ((left, q_low), (p_high, q_high)))| {
                    let first = chunk * CHUNK;
                    let at_zero = Chunk::make(tree, self, first, left.len());
                    let at_one = Chunk::make(tree, self, length + first, left.len());
                    field::bind_into(&at_zero.left, &at_one.left, challenge, left);
                    field::bind_into(&at_zero.q_low, &at_one.q_low, challenge, q_low);
                    field::bind_into(&at_zero.p_high, &at_one.p_high, challenge, p_high);
                    field::bind_into(&at_zero.q_high, &at_one.q_high, challenge, q_high);
                });
                self.half = length;
                self.kept = Some(level);
            }
        }
        self.length = length;
    }

    /// `p(0,r), p(1,r), q(0,r), q(1,r)`, when all variables are bound.
    pub fn ends(&self, tree: &FractionTree<'_>) -> [Scalar; 4] {
        match &self.kept {
            Some(Level { numerators, denominators }) => {
                let q_low = denominators[0];
                [numerators[0] - self.lambda * q_low, numerators[self.half], q_low, denominators[self.half]]
            }
            None => {
                // A layer without variables whose level was not kept.
                let chunk = Chunk::make(tree, self, 0, 1);
                let q_low = chunk.q_low[0];
                [chunk.left[0] - self.lambda * q_low, chunk.p_high[0], q_low, chunk.q_high[0]]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lorica_algebra::multilinear::inner_product;

    fn words(count: usize) -> Vec<u16> {
        (0..count).map(|i| (i * 40_503 % 65_536) as u16).collect()
    }

    fn denominators() -> Vec<Scalar> {
        let gamma = -Scalar::from(987_654_321u64);
        (0..1u64 << 16).map(|v| gamma - Scalar::from(v)).collect()
    }

    /// All levels by plain loops.
    fn slow_levels(words: &[u16]) -> Vec<(Vec<Scalar>, Vec<Scalar>)> {
        let table = denominators();
        let size = 1 << variables(words.len());
        let one = Scalar::from(1u8);
        let mut p = vec![one; words.len()];
        p.resize(size, Scalar::zero());
        let mut q: Vec<Scalar> = words.iter().map(|word| table[usize::from(*word)]).collect();
        q.resize(size, one);
        let mut levels = vec![(p, q)];
        while levels.last().unwrap().0.len() > 1 {
            let (p, q) = levels.last().unwrap();
            let half = p.len() / 2;
            let next =
                (0..half).map(|i| (p[i] * q[half + i] + p[half + i] * q[i], q[i] * q[half + i])).unzip();
            levels.push(next);
        }
        levels.reverse();
        levels
    }

    #[test]
    fn rounds_follow_the_claim_with_levels_kept_and_made_again() {
        let one = Scalar::from(1u8);
        for count in [1, 2, 3, 5, 8, 13, 1 << 9, 3000, 4097] {
            let words = words(count);
            let depth = variables(count);
            let levels = slow_levels(&words);
            for made_again in 0..=depth.min(3) {
                let leaves = Leaves::Words { words: &words, denominators: denominators() };
                let mut tree = FractionTree::with_levels_made_again(leaves, depth, made_again);
                assert_eq!(tree.root(), [levels[0].0[0], levels[0].1[0]]);
                for layer in 0..depth {
                    let lambda = Scalar::from(77 + layer as u64);
                    let point: Vec<Scalar> = (0..layer as u64).map(|j| Scalar::from(j * j + 5)).collect();
                    let mut claim = {
                        let eq = eq_table(&point, 1 << layer);
                        inner_product(&levels[layer].0, &eq) + lambda * inner_product(&levels[layer].1, &eq)
                    };
                    let mut tables = tree.layer(layer, lambda);
                    let mut bound = Vec::new();
                    for (i, z) in point.iter().enumerate() {
                        let RoundSums { constant, leading } = tables.round(&tree, &point[i + 1..]);
                        // h(1) from the claim by a way that needs no inverse of z: h_1 z = claim - h_0 - z h_2.
                        let r = Scalar::from(1000 + i as u64);
                        let linear = (claim - constant) * ark_ff::Field::inverse(z).unwrap() - leading;
                        assert_eq!((one - z) * constant + *z * (constant + linear + leading), claim);
                        claim = constant + r * (linear + r * leading);
                        tables.bind(&tree, r);
                        bound.push(r);
                    }
                    let [p_low, p_high, q_low, q_high] = tables.ends(&tree);
                    assert_eq!((p_low + lambda * q_low) * q_high + p_high * q_low, claim, "{count}, {layer}");
                    let eq = eq_table(&bound, 1 << layer);
                    let (p, q) = &levels[layer + 1];
                    let half = 1 << layer;
                    assert_eq!(p_low, inner_product(&p[..half], &eq));
                    assert_eq!(p_high, inner_product(&p[half..], &eq));
                    assert_eq!(q_low, inner_product(&q[..half], &eq));
                    assert_eq!(q_high, inner_product(&q[half..], &eq));
                }
            }
        }
    }
}
