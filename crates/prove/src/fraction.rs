//! One fraction tree: its levels, and the rounds of a layer over them.
//!
//! A level is two tables, numerators and denominators; the lower children of all nodes are the lower half of the next
//! level. In a tree of words the two levels nearest to the leaves hold three quarters of all fractions: they are not kept
//! but made again from the words, chunk by chunk, where a round needs them ([`crate::bottom`] has the layer above the
//! leaves). Touching memory for the first time costs more than that.
//!
//! Everything here follows from private leaves: tables are wiped when they are dropped or bound.

use ark_ff::Zero;
use lorica_algebra::Scalar;
use lorica_algebra::kernels::field::pairs::{self, LayerChallenges, LayerOut, PairHalves, Pairs};
use lorica_algebra::kernels::field::{self, Fractions, LayerHalves, RoundSums, words};
use lorica_algebra::kernels::table::{wipe, zeroed_table};
use lorica_algebra::multilinear::{eq_table, variables};
use rayon::prelude::*;

use crate::bottom::BottomTables;

/// The leaves of a tree, padded with `0 / 1` up to a power of two.
pub enum Leaves<'a> {
    /// `1 / (gamma - word)` for each word.
    Words {
        /// The words.
        words: &'a [u16],
        /// gamma
        gamma: Scalar,
    },
    /// Any fractions, as many numerators as denominators.
    Fractions {
        /// Numerators.
        numerators: Vec<Scalar>,
        /// Denominators.
        denominators: Vec<Scalar>,
    },
}

impl Leaves<'_> {
    fn count(&self) -> usize {
        match self {
            Leaves::Words { words, .. } => words.len(),
            Leaves::Fractions { denominators, .. } => denominators.len(),
        }
    }
}

/// Numerators and denominators of a level.
pub(crate) struct Level {
    pub(crate) numerators: Vec<Scalar>,
    pub(crate) denominators: Vec<Scalar>,
}

impl Level {
    fn zeroed(length: usize) -> Self {
        Self { numerators: zeroed_table(length), denominators: zeroed_table(length) }
    }

    /// Room for as many fractions: in memory that was used before, if it is enough.
    pub(crate) fn at_least(length: usize, used: Option<Self>) -> Self {
        used.filter(|used| used.numerators.len() >= length).unwrap_or_else(|| Self::zeroed(length))
    }
}

impl Drop for Level {
    fn drop(&mut self) {
        wipe(&mut self.numerators);
        wipe(&mut self.denominators);
    }
}

/// A fraction tree with the levels that are kept.
pub struct FractionTree<'a> {
    leaves: Leaves<'a>,
    depth: usize,
    /// Levels 0, 1, .. up to the lowest that is kept.
    levels: Vec<Level>,
    /// The memory of the last layer that was walked, wiped: the next one needs as much.
    used: Option<Level>,
}

impl Drop for FractionTree<'_> {
    fn drop(&mut self) {
        // This memory was wiped entry by entry: it need not be once more.
        if let Some(Level { numerators, denominators }) = &mut self.used {
            (*numerators, *denominators) = (Vec::new(), Vec::new());
        }
    }
}

/// Nodes that one task handles: eight tables of a chunk stay in the second-level cache.
pub(crate) const CHUNK_BITS: usize = 9;
/// `2^CHUNK_BITS`
pub(crate) const CHUNK: usize = 1 << CHUNK_BITS;

/// Levels near the leaves that are not kept in a large tree of words: the leaves and two above.
const LEVELS_MADE_AGAIN: usize = 2;

/// The depth from which a tree is large: below it a layer is a few chunks.
const LARGE_DEPTH: usize = 14;

/// Room for the fractions of a chunk's children.
type Spare = [Vec<Scalar>; 4];

fn spare() -> Spare {
    [(); 4].map(|()| vec![Scalar::zero(); CHUNK])
}

impl<'a> FractionTree<'a> {
    /// Sums all fractions, level by level.
    pub fn new(leaves: Leaves<'a>) -> Self {
        let depth = variables(leaves.count());
        let large = depth >= LARGE_DEPTH && matches!(leaves, Leaves::Words { .. });
        Self::with_levels_made_again(leaves, depth, if large { LEVELS_MADE_AGAIN } else { 0 })
    }

    /// `made_again` is at most [`LEVELS_MADE_AGAIN`], and zero where leaves are not words.
    fn with_levels_made_again(leaves: Leaves<'a>, depth: usize, made_again: usize) -> Self {
        let lowest = depth - made_again;
        let mut tree = Self { leaves, depth, levels: Vec::new(), used: None };
        let mut level = Level::zeroed(1 << lowest);
        level
            .numerators
            .par_chunks_mut(CHUNK)
            .zip(level.denominators.par_chunks_mut(CHUNK))
            .enumerate()
            .for_each_init(spare, |spare, (chunk, (p, q))| tree.fill(lowest, chunk * CHUNK, p, q, spare));
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

    /// Fills in fractions `first, first + 1, ..`, a chunk at most, of the lowest level kept or one below it.
    fn fill(&self, level: usize, first: usize, p: &mut [Scalar], q: &mut [Scalar], spare: &mut Spare) {
        let one = Scalar::from(1u8);
        match &self.leaves {
            Leaves::Words { words, gamma } if level < self.depth => {
                let high = first + (1 << level);
                if level + 1 < self.depth {
                    if let (Some(low), Some(high)) = (self.pairs(first, p.len()), self.pairs(high, p.len())) {
                        return pairs::add(*gamma, low, high, p, q);
                    }
                    let [p_low, q_low, p_high, q_high] = spare.each_mut().map(|table| &mut table[..p.len()]);
                    self.fill_pairs(words, *gamma, level + 1, first, p_low, q_low);
                    self.fill_pairs(words, *gamma, level + 1, high, p_high, q_high);
                    let low = Fractions { numerators: p_low, denominators: q_low };
                    let high = Fractions { numerators: p_high, denominators: q_high };
                    field::add_fractions(low, high, p, q);
                } else {
                    self.fill_pairs(words, *gamma, level, first, p, q);
                }
            }
            leaves => {
                let inside = leaves.count().saturating_sub(first).min(p.len());
                let from = first.min(leaves.count());
                let (p_inside, p_rest) = p.split_at_mut(inside);
                let (q_inside, q_rest) = q.split_at_mut(inside);
                match leaves {
                    Leaves::Words { words, gamma } => {
                        p_inside.fill(one);
                        words::denominators(*gamma, &words[from..from + inside], q_inside);
                    }
                    Leaves::Fractions { numerators, denominators } => {
                        p_inside.copy_from_slice(&numerators[from..from + inside]);
                        q_inside.copy_from_slice(&denominators[from..from + inside]);
                    }
                }
                p_rest.fill(Scalar::zero());
                q_rest.fill(one);
            }
        }
    }

    /// The leaves of nodes `first, first + 1, ..` above leaves that are words; `None` if one of the nodes has no upper leaf.
    fn pairs(&self, first: usize, count: usize) -> Option<Pairs<'_>> {
        let words = self.words();
        let high = first + (1 << (self.depth - 1));
        Some(Pairs { low: words.get(first..first + count)?, high: words.get(high..high + count)? })
    }

    /// As [`FractionTree::fill`] for the level above the leaves: sums of two inverses, or one where there is no upper leaf.
    /// All lower leaves are there, because the depth is no larger than it has to be.
    fn fill_pairs(
        &self,
        words: &[u16],
        gamma: Scalar,
        level: usize,
        first: usize,
        p: &mut [Scalar],
        q: &mut [Scalar],
    ) {
        let high = first + (1 << level);
        let paired = words.len().saturating_sub(high).min(p.len());
        let low = &words[first..first + p.len()];
        let (p, p_rest) = p.split_at_mut(paired);
        let (q, q_rest) = q.split_at_mut(paired);
        if paired > 0 {
            words::add_inverses(gamma, &low[..paired], &words[high..high + paired], p, q);
        }
        p_rest.fill(Scalar::from(1u8));
        words::denominators(gamma, &low[paired..], q_rest);
    }

    /// The tables of a layer: the level below it. Layers are asked for from the root down.
    pub fn layer(&mut self, layer: usize, lambda: Scalar) -> LayerTables {
        if let Leaves::Words { words, gamma } = &self.leaves
            && layer + 1 == self.depth
        {
            return LayerTables::Bottom(BottomTables::new(
                words.len(),
                *gamma,
                layer,
                lambda,
                self.used.take(),
            ));
        }
        let half = 1usize << layer;
        // Levels above are not needed any more: the walk goes down.
        let mut kept = self.levels.get_mut(layer + 1).map(|level| {
            std::mem::replace(level, Level { numerators: Vec::new(), denominators: Vec::new() })
        });
        if let Some(level) = &mut kept {
            let (p, q) = (&mut level.numerators[..half], &level.denominators[..half]);
            p.par_chunks_mut(CHUNK)
                .zip(q.par_chunks(CHUNK))
                .for_each(|(p, q)| field::add_scaled(p, q, lambda));
        }
        let used = if kept.is_none() { self.used.take() } else { None };
        LayerTables::Inner(InnerTables { layer, half, length: half, lambda, kept, used })
    }

    /// The words of the leaves, where they are words.
    fn words(&self) -> &[u16] {
        match &self.leaves {
            Leaves::Words { words, .. } => words,
            Leaves::Fractions { .. } => &[],
        }
    }
}

/// The tables of a layer.
pub enum LayerTables {
    /// Above fractions.
    Inner(InnerTables),
    /// Above leaves that are words.
    Bottom(BottomTables),
}

impl LayerTables {
    /// The sums of a round: coefficients `h_0` and `h_2`. `rest` are the coordinates of the variables after this one.
    pub fn round(&self, tree: &FractionTree<'_>, rest: &[Scalar]) -> RoundSums {
        match self {
            LayerTables::Inner(tables) => tables.round(tree, rest),
            LayerTables::Bottom(tables) => tables.round(tree.words(), rest),
        }
    }

    /// Binds the first variable.
    pub fn bind(&mut self, tree: &FractionTree<'_>, challenge: Scalar) {
        match self {
            LayerTables::Inner(tables) => tables.bind(tree, challenge),
            LayerTables::Bottom(tables) => tables.bind(tree.words(), challenge),
        }
    }

    /// `p(0,r), p(1,r), q(0,r), q(1,r)`, when all variables are bound.
    pub fn ends(self, tree: &mut FractionTree<'_>) -> [Scalar; 4] {
        match self {
            LayerTables::Inner(tables) => tables.ends(tree),
            LayerTables::Bottom(tables) => tables.ends(tree.words()),
        }
    }
}

/// Weighs the chunks of a round: `eq` of the coordinates that tell entries of a chunk apart, and of those that tell chunks
/// apart.
pub(crate) struct ChunkWeights {
    pub(crate) within: Vec<Scalar>,
    pub(crate) factors: Vec<Scalar>,
}

impl ChunkWeights {
    pub(crate) fn new(rest: &[Scalar]) -> Self {
        let low_bits = rest.len().min(CHUNK_BITS);
        let (high, low) = rest.split_at(rest.len() - low_bits);
        Self { within: eq_table(low, 1 << low_bits), factors: eq_table(high, 1 << high.len()) }
    }

    /// The weighed sum of what each chunk, given by its first entry, sums to.
    pub(crate) fn sum<T>(
        &self,
        init: impl Fn() -> T + Sync + Send,
        sums: impl Fn(&mut T, usize) -> RoundSums + Sync + Send,
    ) -> RoundSums {
        let zero = RoundSums { constant: Scalar::zero(), leading: Scalar::zero() };
        let add = |left: RoundSums, right: RoundSums| RoundSums {
            constant: left.constant + right.constant,
            leading: left.leading + right.leading,
        };
        self.factors
            .par_iter()
            .enumerate()
            .map_init(init, |spare, (chunk, factor)| {
                let RoundSums { constant, leading } = sums(spare, chunk * self.within.len());
                RoundSums { constant: constant * factor, leading: leading * factor }
            })
            .reduce(|| zero, add)
    }
}

/// The four tables of a layer: `left = p(0,x) + lambda q(0,x)`, `p(1,x)`, `q(0,x)`, `q(1,x)`.
///
/// Each pair lies in one vector, the second one from `half` on; bound tables are the first `length` entries of each.
pub struct InnerTables {
    layer: usize,
    half: usize,
    length: usize,
    lambda: Scalar,
    /// `None` until the first variable is bound, where the level is made again from the leaves.
    kept: Option<Level>,
    /// Memory for what is made again.
    used: Option<Level>,
}

/// Four tables of a chunk, as they are made again, and room for making them.
struct Chunk {
    left: Vec<Scalar>,
    q_low: Vec<Scalar>,
    p_high: Vec<Scalar>,
    q_high: Vec<Scalar>,
    spare: Spare,
}

impl Chunk {
    fn new() -> Self {
        let [left, q_low, p_high, q_high] = spare();
        Self { left, q_low, p_high, q_high, spare: spare() }
    }

    fn make(&mut self, tree: &FractionTree<'_>, tables: &InnerTables, first: usize, length: usize) {
        let level = tables.layer + 1;
        for table in [&mut self.left, &mut self.q_low, &mut self.p_high, &mut self.q_high] {
            table.truncate(length);
        }
        tree.fill(level, first, &mut self.left, &mut self.q_low, &mut self.spare);
        tree.fill(level, first + tables.half, &mut self.p_high, &mut self.q_high, &mut self.spare);
        field::add_scaled(&mut self.left, &self.q_low, tables.lambda);
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        let tables = [&mut self.left, &mut self.q_low, &mut self.p_high, &mut self.q_high];
        tables.into_iter().chain(&mut self.spare).for_each(|table| wipe(table));
    }
}

impl InnerTables {
    /// The words of a chunk of this layer at both values of its first variable, where it stands above sums of two words'
    /// inverses and all of them are there.
    fn pairs<'a>(
        &self,
        tree: &'a FractionTree<'_>,
        first: usize,
        count: usize,
    ) -> Option<(Scalar, PairHalves<'a>)> {
        let Leaves::Words { gamma, .. } = &tree.leaves else { return None };
        if self.layer + 2 != tree.depth {
            return None;
        }
        let half = self.length / 2;
        let at = |child: usize| {
            Some([tree.pairs(child + first, count)?, tree.pairs(child + half + first, count)?])
        };
        Some((*gamma, PairHalves { low: at(0)?, high: at(self.half)? }))
    }

    fn round(&self, tree: &FractionTree<'_>, rest: &[Scalar]) -> RoundSums {
        let half = self.length / 2;
        let weights = ChunkWeights::new(rest);
        let length = weights.within.len();
        match &self.kept {
            Some(Level { numerators, denominators }) => {
                let (p_low, p_high) = numerators.split_at(self.half);
                let (q_low, q_high) = denominators.split_at(self.half);
                weights.sum(
                    || (),
                    |(), first| {
                        let at_zero = first..first + length;
                        let at_one = half + first..half + first + length;
                        field::layer_sums(
                            &weights.within,
                            &LayerHalves {
                                left: [&p_low[at_zero.clone()], &p_low[at_one.clone()]],
                                q_high: [&q_high[at_zero.clone()], &q_high[at_one.clone()]],
                                p_high: [&p_high[at_zero.clone()], &p_high[at_one.clone()]],
                                q_low: [&q_low[at_zero], &q_low[at_one]],
                            },
                        )
                    },
                )
            }
            None => weights.sum(
                || [Chunk::new(), Chunk::new()],
                |[at_zero, at_one], first| {
                    if let Some((gamma, pairs)) = self.pairs(tree, first, length) {
                        return pairs::sums(&weights.within, &pairs).round(gamma, self.lambda);
                    }
                    at_zero.make(tree, self, first, length);
                    at_one.make(tree, self, half + first, length);
                    field::layer_sums(
                        &weights.within,
                        &LayerHalves {
                            left: [&at_zero.left, &at_one.left],
                            q_high: [&at_zero.q_high, &at_one.q_high],
                            p_high: [&at_zero.p_high, &at_one.p_high],
                            q_low: [&at_zero.q_low, &at_one.q_low],
                        },
                    )
                },
            ),
        }
    }

    fn bind(&mut self, tree: &FractionTree<'_>, challenge: Scalar) {
        let length = self.length / 2;
        match &mut self.kept {
            Some(Level { numerators, denominators }) => {
                for table in [numerators, denominators] {
                    let (lower, upper) = table.split_at_mut(self.half);
                    bind_and_wipe(&mut lower[..2 * length], challenge);
                    bind_and_wipe(&mut upper[..2 * length], challenge);
                }
            }
            None => {
                let mut level = Level::at_least(2 * length, self.used.take());
                let (p_low, p_high) = level.numerators[..2 * length].split_at_mut(length);
                let (q_low, q_high) = level.denominators[..2 * length].split_at_mut(length);
                let parts = p_low
                    .par_chunks_mut(CHUNK)
                    .zip(q_low.par_chunks_mut(CHUNK))
                    .zip(p_high.par_chunks_mut(CHUNK).zip(q_high.par_chunks_mut(CHUNK)));
                let chunks = || [Chunk::new(), Chunk::new()];
                parts.enumerate().for_each_init(chunks, |[at_zero, at_one], (chunk, tables)| {
                    let ((left, q_low), (p_high, q_high)) = tables;
                    let first = chunk * CHUNK;
                    if let Some((gamma, pairs)) = self.pairs(tree, first, left.len()) {
                        let challenges = LayerChallenges { gamma, lambda: self.lambda, bound: challenge };
                        return pairs::bind(&challenges, &pairs, LayerOut { left, q_low, p_high, q_high });
                    }
                    at_zero.make(tree, self, first, left.len());
                    at_one.make(tree, self, length + first, left.len());
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

    fn ends(mut self, tree: &mut FractionTree<'_>) -> [Scalar; 4] {
        let Some(mut level) = self.kept.take() else {
            // A layer without variables whose level was not kept.
            let mut chunk = Chunk::new();
            chunk.make(tree, &self, 0, 1);
            let q_low = chunk.q_low[0];
            return [chunk.left[0] - self.lambda * q_low, chunk.p_high[0], q_low, chunk.q_high[0]];
        };
        let Level { numerators, denominators } = &mut level;
        let q_low = denominators[0];
        let ends =
            [numerators[0] - self.lambda * q_low, numerators[self.half], q_low, denominators[self.half]];
        // All else was wiped when it was bound, while it was in a cache.
        for table in [numerators, denominators] {
            wipe(&mut table[..1]);
            wipe(&mut table[self.half..=self.half]);
        }
        tree.used = Some(level);
        ends
    }
}

/// Binds the first variable of a table: the lower half is what remains, the upper one is wiped.
pub(crate) fn bind_and_wipe(table: &mut [Scalar], challenge: Scalar) {
    let (low, high) = table.split_at_mut(table.len() / 2);
    low.par_chunks_mut(CHUNK).zip(high.par_chunks_mut(CHUNK)).for_each(|(low, high)| {
        field::bind(low, high, challenge);
        wipe(high);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use lorica_algebra::multilinear::inner_product;

    fn words(count: usize) -> Vec<u16> {
        (0..count).map(|i| (i * 40_503 % 65_536) as u16).collect()
    }

    fn gamma() -> Scalar {
        -Scalar::from(987_654_321u64)
    }

    /// All levels by plain loops.
    fn slow_levels(words: &[u16]) -> Vec<(Vec<Scalar>, Vec<Scalar>)> {
        let size = 1 << variables(words.len());
        let one = Scalar::from(1u8);
        let mut p = vec![one; words.len()];
        p.resize(size, Scalar::zero());
        let mut q: Vec<Scalar> = words.iter().map(|word| gamma() - Scalar::from(u64::from(*word))).collect();
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
        for count in [1, 2, 3, 5, 8, 13, 1 << 9, 3000, 4096, 4097, 6145] {
            let words = words(count);
            let depth = variables(count);
            let levels = slow_levels(&words);
            for made_again in 0..=depth.min(LEVELS_MADE_AGAIN) {
                let leaves = Leaves::Words { words: &words, gamma: gamma() };
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
                    let [p_low, p_high, q_low, q_high] = tables.ends(&mut tree);
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
