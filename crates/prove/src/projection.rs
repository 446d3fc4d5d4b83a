//! The tables of a session proof: what activations and weights come down to once the projection is drawn.

use std::collections::BTreeMap;

use ark_ff::Zero;
use lorica_algebra::kernels::combine::combine_scalars;
use lorica_algebra::kernels::digits::ChallengeDigits;
use lorica_algebra::kernels::dot::dot_i16;
use lorica_algebra::kernels::table::zeroed_table;
use lorica_algebra::{Scalar, scalar};
use lorica_relation::rows::{ModuleIndex, RowsError, SessionRows, StreamIndex};
use lorica_relation::session::{LowRank, StreamShape, Witness};
use lorica_verify::passes::combine_stream;
use lorica_verify::schedule::Projection;
use lorica_verify::statement::{SessionStatement, Sizes};
use rayon::prelude::*;

/// What the tables are made from.
#[derive(Clone, Copy)]
pub struct SessionTables<'a> {
    /// The statement.
    pub statement: &'a SessionStatement,
    /// The integers of the adapter, of the statement's shapes.
    pub witness: &'a Witness,
    /// The activations.
    pub rows: &'a dyn SessionRows,
    /// The statement's sizes.
    pub sizes: Sizes,
    /// The projection's challenges.
    pub projection: &'a Projection,
}

/// What the activations come down to.
pub struct ProjectedInputs {
    /// `z_m(k) a_k` with `a_k = <A_k, v_m(k)>` for each pair, where `v_m = sum_n rho_n X_m[n]`: the left table of the
    /// first sumcheck.
    pub pairs: Vec<Scalar>,
    /// The table P of all `v_m`, each **divided by R** (see [`lorica_algebra::wide::MONTGOMERY_R`]), `sizes.inputs`
    /// entries a module; zeros for a module that was never called.
    pub over_r: Vec<Scalar>,
}

impl SessionTables<'_> {
    /// One pass over the activations. Beside the table it holds one stream's `v_m` a thread.
    pub fn project_inputs(&self) -> Result<ProjectedInputs, RowsError> {
        let width = self.sizes.inputs;
        let mut over_r = zeroed_table(self.sizes.modules * width);
        let mut streams: Vec<Option<(StreamIndex, &StreamShape)>> = vec![None; self.sizes.modules];
        for (index, stream) in self.statement.streams.iter().enumerate() {
            if let Some(first) = stream.shape.modules.first() {
                streams[first.0] = Some((StreamIndex(index), &stream.shape));
            }
        }
        // A stream is projected into the place of its first module; the others get a copy.
        let projected = over_r
            .par_chunks_mut(width)
            .zip(&streams)
            .map(|(out, stream)| match stream {
                Some((index, shape)) => self.project_stream(*index, shape, out),
                None => Ok(Vec::new()),
            })
            .collect::<Result<Vec<_>, RowsError>>()?;
        for (_, shape) in streams.iter().flatten() {
            if let Some((first, others)) = shape.modules.split_first() {
                for other in others {
                    over_r.copy_within(first.0 * width..(first.0 + 1) * width, other.0 * width);
                }
            }
        }
        let mut of_modules: Vec<Vec<Scalar>> = vec![Vec::new(); self.sizes.modules];
        for (module, values) in projected.into_iter().flatten() {
            of_modules[module.0] = values;
        }
        for (values, shape) in of_modules.iter_mut().zip(&self.statement.modules) {
            values.resize(shape.rank, Scalar::zero());
        }
        Ok(ProjectedInputs { pairs: of_modules.concat(), over_r })
    }

    /// `z_m a_k` for every module of a stream; writes `v_m` over R.
    fn project_stream(
        &self,
        index: StreamIndex,
        stream: &StreamShape,
        out: &mut [Scalar],
    ) -> Result<Vec<(ModuleIndex, Vec<Scalar>)>, RowsError> {
        let combiner = combine_stream(index, stream, self.rows, self.projection)?;
        combiner.write_scalars_over_r(&mut out[..stream.width]);
        let digits = combiner.into_digits();
        let of_module = |module: &ModuleIndex| {
            let z = scalar::from_challenge(self.projection.modules[module.0]);
            let rows = self.witness.modules[module.0].a.chunks_exact(stream.width);
            (*module, rows.map(|row| z * dot_i16(row, &digits).to_scalar()).collect())
        };
        Ok(stream.modules.iter().map(of_module).collect())
    }

    /// `b_k = <B_k, sigma>` for each pair: the right table of the first sumcheck.
    pub fn project_outputs(&self) -> Vec<Scalar> {
        let sigma = ChallengeDigits::from_challenges(&self.projection.sigma);
        let of_modules: Vec<Vec<Scalar>> = self
            .statement
            .modules
            .par_iter()
            .zip(&self.witness.modules)
            .map(|(shape, LowRank { b, .. })| {
                b.chunks_exact(shape.outputs).map(|column| dot_i16(column, &sigma).to_scalar()).collect()
            })
            .collect();
        of_modules.concat()
    }

    /// The table W: `sum_{k in m} eq(p, k) z_m A_k` for each module, `sizes.inputs` entries each.
    pub fn module_rows(&self, eq_pairs: &[Scalar]) -> Vec<Scalar> {
        let Self { sizes, projection, .. } = self;
        let mut table = zeroed_table(sizes.modules * sizes.inputs);
        table.par_chunks_mut(sizes.inputs).enumerate().for_each(|(index, out)| {
            let z = scalar::from_challenge(projection.modules[index]);
            let first: usize = self.statement.modules[..index].iter().map(|module| module.rank).sum();
            let shape = &self.statement.modules[index];
            let coefficients: Vec<Scalar> =
                eq_pairs[first..first + shape.rank].iter().map(|eq| z * eq).collect();
            let rows: Vec<&[i16]> = self.witness.modules[index].a.chunks_exact(shape.inputs).collect();
            combine_scalars(&coefficients, &rows, &mut out[..shape.inputs]);
        });
        table
    }

    /// `w_B = sum_k eq(p, k) B_k`, `sizes.outputs` entries.
    pub fn combined_columns(&self, eq_pairs: &[Scalar]) -> Vec<Scalar> {
        const COLUMNS: usize = 1024;
        let mut by_width: BTreeMap<usize, (Vec<Scalar>, Vec<&[i16]>)> = BTreeMap::new();
        let mut eq_pairs = eq_pairs.iter();
        for (shape, LowRank { b, .. }) in self.statement.modules.iter().zip(&self.witness.modules) {
            let (coefficients, rows) = by_width.entry(shape.outputs).or_default();
            coefficients.extend(eq_pairs.by_ref().take(shape.rank));
            rows.extend(b.chunks_exact(shape.outputs));
        }
        let mut combined = vec![Scalar::zero(); self.sizes.outputs];
        combined.par_chunks_mut(COLUMNS).enumerate().for_each(|(chunk, out)| {
            let start = chunk * COLUMNS;
            for (&width, (coefficients, rows)) in by_width.range(start + 1..) {
                let end = width.min(start + out.len());
                let rows: Vec<&[i16]> = rows.iter().map(|row| &row[start..end]).collect();
                let mut part = vec![Scalar::zero(); end - start];
                combine_scalars(coefficients, &rows, &mut part);
                for (sum, part) in out.iter_mut().zip(part) {
                    *sum += part;
                }
            }
        });
        combined
    }
}
