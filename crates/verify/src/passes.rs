//! The two passes over a session's rows, both as streams with a fixed window.
//!
//! The first hashes every tensor: its digests make the statement. The second evaluates, after all challenges are known,
//! the two public values of the argument:
//!
//! - `t = sum_m z_m sum_n rho_n <D_m[n], sigma>`, the claim of the first sumcheck, and
//! - `v*(q) = sum_m eq(q_m, m) sum_n rho_n <X_m[n], eq(q_i, .)>`, which the verifier needs once and no vector of.

use std::ops::Range;

use ark_ff::Zero;
use lorica_algebra::kernels::combine::Combiner;
use lorica_algebra::kernels::digits::ChallengeVector;
use lorica_algebra::kernels::dot::dot_i64_rows;
use lorica_algebra::multilinear::inner_product;
use lorica_algebra::wide::{MONTGOMERY_R, Wide};
use lorica_algebra::{Scalar, scalar};
use lorica_relation::digests::{SessionDigests, StreamDigests};
use lorica_relation::rows::{ModuleIndex, RowsError, SessionRows, StreamIndex};
use lorica_relation::session::{ModuleShape, StreamShape};
use lorica_tensor::Digest;
use rayon::prelude::*;

use crate::schedule::Projection;

/// Bytes of a tensor that are read at once: small enough to stay in the second-level cache between two uses.
const WINDOW_BYTES: usize = 256 << 10;

/// Ranges of rows of at most a window each.
pub fn windows(rows: u64, row_bytes: usize) -> impl Iterator<Item = Range<u64>> {
    let rows_per_window = u64::try_from((WINDOW_BYTES / row_bytes.max(1)).max(1)).unwrap_or(u64::MAX);
    std::iter::successors(Some(0u64), move |first| first.checked_add(rows_per_window))
        .take_while(move |first| *first < rows)
        .map(move |first| first..first.saturating_add(rows_per_window).min(rows))
}

/// The length of a range of rows, times a width, if memory can hold it.
pub fn values_in(rows: &Range<u64>, width: usize) -> Option<usize> {
    usize::try_from(rows.end.saturating_sub(rows.start)).ok()?.checked_mul(width)
}

/// Checks that a source returned as many values as were asked for.
pub fn check_length(what: &str, rows: &Range<u64>, width: usize, found: usize) -> Result<(), RowsError> {
    if values_in(rows, width) == Some(found) {
        return Ok(());
    }
    Err(RowsError::Malformed {
        what: format!("{what}, rows {}..{}", rows.start, rows.end),
        expected: format!("{width} values a row"),
        found: format!("{found} values in all"),
    })
}

/// The rows of each module: those of the stream that feeds it.
pub fn rows_of_modules(modules: usize, streams: &[StreamShape]) -> Vec<u64> {
    let mut rows = vec![0; modules];
    for stream in streams {
        for module in &stream.modules {
            if let Some(entry) = rows.get_mut(module.0) {
                *entry = stream.rows;
            }
        }
    }
    rows
}

/// First pass: hashes every tensor.
pub fn digests(
    modules: &[ModuleShape],
    streams: &[StreamShape],
    rows: &dyn SessionRows,
) -> Result<SessionDigests, RowsError> {
    let stream_digests = streams
        .par_iter()
        .enumerate()
        .map(|(index, stream)| stream_digest(StreamIndex(index), stream, rows))
        .collect::<Result<_, _>>()?;
    let deltas = modules
        .par_iter()
        .zip(rows_of_modules(modules.len(), streams))
        .enumerate()
        .map(|(index, (module, count))| delta_digest(ModuleIndex(index), module, count, rows))
        .collect::<Result<_, _>>()?;
    Ok(SessionDigests { streams: stream_digests, modules: deltas })
}

fn stream_digest(
    index: StreamIndex,
    stream: &StreamShape,
    rows: &dyn SessionRows,
) -> Result<StreamDigests, RowsError> {
    let mut buffer = Vec::new();
    let (mut inputs, mut exponents) = (blake3::Hasher::new(), blake3::Hasher::new());
    for window in windows(stream.rows, stream.width.saturating_mul(size_of::<i16>())) {
        let values = rows.inputs(index, window.clone(), &mut buffer)?;
        check_length("inputs", &window, stream.width, values.len())?;
        inputs.update(bytemuck::cast_slice(values));
        let values = rows.exponents(index, window.clone(), &mut buffer)?;
        check_length("exponents", &window, 1, values.len())?;
        exponents.update(bytemuck::cast_slice(values));
    }
    Ok(StreamDigests { inputs: finish(&inputs), exponents: finish(&exponents) })
}

fn delta_digest(
    index: ModuleIndex,
    module: &ModuleShape,
    count: u64,
    rows: &dyn SessionRows,
) -> Result<Digest, RowsError> {
    let mut buffer = Vec::new();
    let mut hasher = blake3::Hasher::new();
    for window in windows(count, module.outputs.saturating_mul(size_of::<i64>())) {
        let values = rows.deltas(index, window.clone(), &mut buffer)?;
        check_length("deltas", &window, module.outputs, values.len())?;
        hasher.update(bytemuck::cast_slice(values));
    }
    Ok(finish(&hasher))
}

fn finish(hasher: &blake3::Hasher) -> Digest {
    Digest(*hasher.finalize().as_bytes())
}

/// `v_s = sum_n rho_n X_s[n]`, the projection of one stream over its tokens.
pub fn combine_stream(
    index: StreamIndex,
    stream: &StreamShape,
    rows: &dyn SessionRows,
    projection: &Projection,
) -> Result<Combiner, RowsError> {
    let mut combiner = Combiner::new(stream.width);
    let mut buffer = Vec::new();
    let mut rho = Vec::new();
    for window in windows(stream.rows, stream.width.saturating_mul(size_of::<i16>())) {
        let values = rows.inputs(index, window.clone(), &mut buffer)?;
        check_length("inputs", &window, stream.width, values.len())?;
        rho.resize(values_in(&window, 1).unwrap_or(0), 0);
        projection.rho.fill_short(window.start, &mut rho);
        combiner.add_rows(&rho, values);
    }
    Ok(combiner)
}

/// What the second pass needs to know.
pub struct PublicPass<'a> {
    /// All modules.
    pub modules: &'a [ModuleShape],
    /// All streams.
    pub streams: &'a [StreamShape],
    /// The rows.
    pub rows: &'a dyn SessionRows,
    /// The projection's challenges.
    pub projection: &'a Projection,
    /// `eq(q_m, .)` for every module.
    pub eq_modules: &'a [Scalar],
    /// `eq(q_i, .)`, at least as long as the widest input.
    pub eq_items: &'a [Scalar],
}

/// The two public values of the argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicValues {
    /// `t`
    pub claim: Scalar,
    /// `v*(q)`
    pub inputs_at_point: Scalar,
}

impl PublicPass<'_> {
    /// Second pass: evaluates both values.
    pub fn run(&self) -> Result<PublicValues, RowsError> {
        let sum = |left: Scalar, right: Scalar| Ok(left + right);
        let inputs_at_point = self
            .streams
            .par_iter()
            .enumerate()
            .map(|(index, stream)| self.stream_at_point(StreamIndex(index), stream))
            .try_reduce(Scalar::zero, sum)?;
        let sigma = ChallengeVector::new(&self.projection.sigma);
        let claim = self
            .modules
            .par_iter()
            .zip(rows_of_modules(self.modules.len(), self.streams))
            .zip(&self.projection.modules)
            .enumerate()
            .map(|(index, ((module, count), z))| {
                let projected = self.project_deltas(ModuleIndex(index), module, count, &sigma)?;
                Ok(scalar::from_challenge(*z) * projected)
            })
            .try_reduce(Scalar::zero, sum)?;
        Ok(PublicValues { claim, inputs_at_point })
    }

    fn stream_at_point(&self, index: StreamIndex, stream: &StreamShape) -> Result<Scalar, RowsError> {
        let weight = stream
            .modules
            .iter()
            .filter_map(|module| self.eq_modules.get(module.0))
            .fold(Scalar::zero(), |sum, value| sum + value);
        let combiner = combine_stream(index, stream, self.rows, self.projection)?;
        let mut values = vec![Scalar::zero(); stream.width];
        combiner.write_scalars_over_r(&mut values);
        Ok(inner_product(&values, self.eq_items) * weight * MONTGOMERY_R)
    }

    /// `sum_n rho_n <D_m[n], sigma>`
    fn project_deltas(
        &self,
        index: ModuleIndex,
        module: &ModuleShape,
        count: u64,
        sigma: &ChallengeVector,
    ) -> Result<Scalar, RowsError> {
        let mut buffer = Vec::new();
        let mut rho = Vec::new();
        let mut dots = Vec::new();
        let mut sum = Scalar::zero();
        for window in windows(count, module.outputs.saturating_mul(size_of::<i64>())) {
            let values = self.rows.deltas(index, window.clone(), &mut buffer)?;
            check_length("deltas", &window, module.outputs, values.len())?;
            let count = values_in(&window, 1).unwrap_or(0);
            rho.resize(count, 0);
            self.projection.rho.fill_short(window.start, &mut rho);
            dots.resize(count, Wide::ZERO);
            dot_i64_rows(values, sigma, &mut dots);
            for (dot, rho) in dots.iter().zip(&rho) {
                sum += dot.times_challenge(*rho);
            }
        }
        Ok(sum)
    }
}
