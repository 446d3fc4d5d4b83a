//! Which committed row holds which entry.
//!
//! All commitments of a proof, those of the statement first, are numbered through as *rows*:
//!
//! | rows | commitments from |
//! |---|---|
//! | parameters at the beginning, cut into pieces | the registered model, and what earlier proofs moved it by |
//! | tensors carried over from the step before, cut into pieces | the proof before this one |
//! | selected samples, one row each | the registered data set |
//! | committed tensors, step by step | this proof |
//! | multiplicities of each lookup | this proof |
//!
//! A tensor that moves a parameter, or is carried over, has rows of its own and is cut like the parameter, so that rows
//! add up. Other tensors share rows. The layout of a step is the same for all steps.

use lorica_algebra::Scalar;
use lorica_algebra::multilinear::eq_table;
use lorica_argument::lookup::TABLE_BITS;
use lorica_relation::program::{ParameterId, Program, Source, TensorId};

use super::forms::TensorForm;
use crate::packing::split_low;
use crate::rows::pieces::Pieces;

/// Which rows of the data set the steps use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// The numbers of the data set's rows that are used, each once, in increasing order.
    pub rows: Vec<usize>,
    /// For each step and each sample of its batch, the place of its row in `rows`.
    pub places: Vec<usize>,
}

impl Selection {
    /// The selection of these rows of the data set, step by step.
    pub fn new(samples: &[usize]) -> Self {
        let mut rows = samples.to_vec();
        rows.sort_unstable();
        rows.dedup();
        let place = |sample: &usize| rows.binary_search(sample).unwrap_or(usize::MAX);
        let places = samples.iter().map(place).collect();
        Self { rows, places }
    }
}

/// Where a piece of a committed tensor stands in its step's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The row of the step.
    pub row: usize,
    /// The column of the piece's first entry.
    pub column: usize,
}

/// Where a committed tensor stands in each step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorPlaces {
    /// How it is cut.
    pub pieces: Pieces,
    /// One place for each piece.
    pub places: Vec<Place>,
}

/// All rows of a proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowLayout {
    /// The number of row bases: the longest row.
    pub width: usize,
    /// The pieces of each parameter.
    pub parameters: Vec<Pieces>,
    /// The tensor that moves each parameter.
    pub movers: Vec<Option<TensorId>>,
    /// The tensors that are carried over, with their pieces.
    pub carried: Vec<(TensorId, Pieces)>,
    /// The number of selected samples.
    pub samples: usize,
    /// The places of each committed tensor.
    pub tensors: Vec<TensorPlaces>,
    /// The length of each row of a step.
    pub step_rows: Vec<usize>,
    /// The number of steps.
    pub steps: usize,
    /// c: a row of multiplicities has `2^c` entries.
    pub multiplicity_bits: usize,
    /// The number of lookups.
    pub lookups: usize,
}

/// A public combination of rows against a form on a range of columns: `sum_r weight_r sum_i form_i row_r[column + i]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowGroup {
    /// Rows with their weights.
    pub rows: Vec<(usize, Scalar)>,
    /// The first column.
    pub column: usize,
    /// The form from there on.
    pub form: Vec<Scalar>,
}

/// A row of multiplicities has at least `2^10` and at most `2^12` entries, as in registrations.
const MULTIPLICITY_BITS: std::ops::RangeInclusive<usize> = 10..=12;

impl RowLayout {
    /// The layout for a valid program, rows of at most `row_length` entries and so many selected samples. `None` if a matrix has
    /// more columns than a row has entries.
    pub fn of(program: &Program, row_length: usize, samples: usize, lookups: usize) -> Option<Self> {
        let parameters: Vec<Pieces> = program
            .parameters
            .iter()
            .map(|parameter| Pieces::of(parameter.shape, row_length))
            .collect::<Option<_>>()?;
        let pieces: Vec<Pieces> = program
            .tensors
            .iter()
            .map(|tensor| Pieces::of(tensor.shape, row_length))
            .collect::<Option<_>>()?;
        let carried_ids = program.carried();
        let alone: Vec<TensorId> = program
            .parameters
            .iter()
            .filter_map(|parameter| parameter.moved_by)
            .chain(carried_ids.iter().copied())
            .collect();
        let mut step_rows: Vec<usize> = Vec::new();
        let mut shared: Vec<usize> = Vec::new();
        let mut tensors = Vec::with_capacity(pieces.len());
        for (id, pieces) in pieces.iter().enumerate() {
            let mut places = Vec::with_capacity(pieces.count());
            for length in pieces.lengths() {
                // The first shared row with room left, unless the tensor has rows of its own.
                let room = shared.iter().copied().find(|row| {
                    let used = step_rows.get(*row).copied().unwrap_or(row_length);
                    !alone.contains(&TensorId(id)) && used.saturating_add(length) <= row_length
                });
                let row = room.unwrap_or(step_rows.len());
                if room.is_none() {
                    step_rows.push(0);
                    if !alone.contains(&TensorId(id)) {
                        shared.push(row);
                    }
                }
                let used = step_rows.get_mut(row)?;
                places.push(Place { row, column: *used });
                *used = used.saturating_add(length);
            }
            tensors.push(TensorPlaces { pieces: *pieces, places });
        }
        let carried =
            carried_ids.into_iter().map(|id| Some((id, *pieces.get(id.0)?))).collect::<Option<Vec<_>>>()?;
        let (least, most) = MULTIPLICITY_BITS.into_inner();
        let whole = usize::try_from(row_length.checked_ilog2()?).ok()?;
        let multiplicity_bits = whole.clamp(least, most);
        let longest = step_rows.iter().copied().chain(parameters.iter().flat_map(Pieces::lengths)).max();
        let width = longest.unwrap_or(1).max(program.samples.width).max(1 << multiplicity_bits);
        Some(Self {
            width,
            parameters,
            movers: program.parameters.iter().map(|parameter| parameter.moved_by).collect(),
            carried,
            samples,
            tensors,
            step_rows,
            steps: program.steps,
            multiplicity_bits,
            lookups,
        })
    }

    /// The first row of each kind: carried tensors, samples, committed tensors, multiplicities; and the number of all rows.
    fn starts(&self) -> [usize; 5] {
        let count = |pieces: &mut dyn Iterator<Item = usize>| pieces.fold(0usize, usize::saturating_add);
        let carried = count(&mut self.parameters.iter().map(Pieces::count));
        let samples =
            carried.saturating_add(count(&mut self.carried.iter().map(|(_, pieces)| pieces.count())));
        let committed = samples.saturating_add(self.samples);
        let multiplicities = committed.saturating_add(self.committed_rows());
        [carried, samples, committed, multiplicities, multiplicities.saturating_add(self.multiplicity_rows())]
    }

    /// The number of rows of committed tensors: what a proof sends for its tensors.
    pub fn committed_rows(&self) -> usize {
        self.steps.saturating_mul(self.step_rows.len())
    }

    /// The number of rows of multiplicities of all lookups.
    pub fn multiplicity_rows(&self) -> usize {
        self.lookups.saturating_mul(self.rows_of_a_lookup())
    }

    /// The number of rows of multiplicities of one lookup.
    pub fn rows_of_a_lookup(&self) -> usize {
        1 << TABLE_BITS.saturating_sub(self.multiplicity_bits)
    }

    /// The number of all rows.
    pub fn rows(&self) -> usize {
        let [.., rows] = self.starts();
        rows
    }

    /// The first row of a parameter.
    pub fn parameter_row(&self, ParameterId(id): ParameterId) -> usize {
        self.parameters.iter().take(id).map(Pieces::count).fold(0, usize::saturating_add)
    }

    /// The row of a step's row.
    pub fn committed_row(&self, step: usize, row: usize) -> usize {
        let [_, _, committed, ..] = self.starts();
        committed.saturating_add(step.saturating_mul(self.step_rows.len())).saturating_add(row)
    }

    fn carried_row(&self, id: TensorId) -> Option<usize> {
        let place = self.carried.iter().position(|(carried, _)| *carried == id)?;
        let [carried, ..] = self.starts();
        let before = self.carried.iter().take(place).map(|(_, pieces)| pieces.count());
        Some(before.fold(carried, usize::saturating_add))
    }

    /// The claim on a source's entries under a form, as combinations of rows. `None` for a source that the program does not have.
    pub fn groups(
        &self,
        source: Source,
        form: &TensorForm,
        factor: Scalar,
        selection: &Selection,
    ) -> Option<Vec<RowGroup>> {
        let tensor = |id: TensorId| self.tensors.get(id.0);
        match source {
            Source::Committed(id) => {
                let TensorPlaces { pieces, places } = tensor(id)?;
                self.group(form, *pieces, |piece| {
                    let place = places.get(piece)?;
                    let rows = form.steps.iter().enumerate();
                    let rows =
                        rows.map(|(step, weight)| (self.committed_row(step, place.row), factor * weight));
                    Some((place.column, rows.collect()))
                })
            }
            Source::Before(id) => {
                let TensorPlaces { pieces, places } = tensor(id)?;
                let first = self.carried_row(id)?;
                self.group(form, *pieces, |piece| {
                    let place = places.get(piece)?;
                    let (now, later) = form.steps.split_first()?;
                    let later = later.iter().enumerate();
                    let later =
                        later.map(|(step, weight)| (self.committed_row(step, place.row), factor * weight));
                    let now = (first.saturating_add(piece), factor * now);
                    Some((place.column, std::iter::once(now).chain(later).collect()))
                })
            }
            Source::Parameter(id) => {
                let pieces = *self.parameters.get(id.0)?;
                let first = self.parameter_row(id);
                // What a step moved counts in all later steps.
                let mut later = Scalar::from(0u8);
                let mut suffixes: Vec<Scalar> = form
                    .steps
                    .iter()
                    .rev()
                    .map(|weight| {
                        let sum = later;
                        later += weight;
                        sum
                    })
                    .collect();
                suffixes.reverse();
                let places = self.moves(id);
                self.group(form, pieces, |piece| {
                    let start = (first.saturating_add(piece), factor * later);
                    let mut rows = vec![start];
                    if let Some(place) = places.and_then(|places| places.get(piece)) {
                        let moved = suffixes.iter().enumerate();
                        rows.extend(
                            moved
                                .map(|(step, weight)| (self.committed_row(step, place.row), factor * weight)),
                        );
                    }
                    Some((0, rows))
                })
            }
            Source::Samples { first, columns } => {
                let [_, samples, ..] = self.starts();
                let rows = form.rows.weights();
                let mut weights = vec![Scalar::from(0u8); self.samples];
                let per_step = selection.places.len() / self.steps.max(1);
                for (places, of_step) in selection.places.chunks(per_step.max(1)).zip(&form.steps) {
                    for (place, of_row) in places.iter().skip(form.rows.first).zip(&rows) {
                        *weights.get_mut(*place)? += factor * of_step * of_row;
                    }
                }
                let form = form.columns.cut(columns);
                let rows = weights.into_iter().enumerate();
                Some(vec![RowGroup {
                    rows: rows.map(|(place, weight)| (samples.saturating_add(place), weight)).collect(),
                    column: first.saturating_add(form.first),
                    form: form.weights(),
                }])
            }
        }
    }

    /// The places of the tensor that moves a parameter.
    fn moves(&self, id: ParameterId) -> Option<&[Place]> {
        let TensorId(tensor) = self.movers.get(id.0).copied().flatten()?;
        self.tensors.get(tensor).map(|tensor| tensor.places.as_slice())
    }

    /// One group for all pieces that stand at one column and have one form.
    fn group(
        &self,
        form: &TensorForm,
        pieces: Pieces,
        place: impl Fn(usize) -> Option<(usize, Vec<(usize, Scalar)>)>,
    ) -> Option<Vec<RowGroup>> {
        let columns = form.columns.weights();
        let width = pieces.shape().columns;
        let mut groups: Vec<RowGroup> = Vec::new();
        for of_pieces in form.rows.pieces(pieces.log_rows()) {
            let values = row_major(&of_pieces.form, &columns, width);
            let inside = of_pieces.inside.saturating_mul(width).saturating_add(form.columns.first);
            let first = groups.len();
            for (number, weight) in of_pieces.weights.iter().enumerate() {
                let (column, rows) = place(of_pieces.first.saturating_add(number))?;
                let rows = rows.into_iter().map(|(row, factor)| (row, factor * weight));
                let column = column.saturating_add(inside);
                match groups.iter_mut().skip(first).find(|group| group.column == column) {
                    Some(group) => group.rows.extend(rows),
                    None => groups.push(RowGroup { rows: rows.collect(), column, form: values.clone() }),
                }
            }
        }
        Some(groups)
    }

    /// The claim on the multiplicities of a lookup at a point of the table.
    pub fn multiplicity_group(&self, lookup: usize, table_point: &[Scalar], factor: Scalar) -> RowGroup {
        let [_, _, _, multiplicities, _] = self.starts();
        let (high, low) = split_low(table_point, self.multiplicity_bits);
        let first = multiplicities.saturating_add(lookup.saturating_mul(self.rows_of_a_lookup()));
        let rows = eq_table(high, self.rows_of_a_lookup()).into_iter().enumerate();
        RowGroup {
            rows: rows.map(|(row, weight)| (first.saturating_add(row), factor * weight)).collect(),
            column: 0,
            form: eq_table(low, 1 << self.multiplicity_bits),
        }
    }
}

/// The form on a piece, row after row of `width` columns, from its first weight to its last.
fn row_major(rows: &[Scalar], columns: &[Scalar], width: usize) -> Vec<Scalar> {
    let mut form = Vec::with_capacity(rows.len().saturating_mul(width));
    for (number, row) in rows.iter().enumerate() {
        form.resize(number.saturating_mul(width), Scalar::from(0u8));
        form.extend(columns.iter().map(|column| *row * column));
    }
    form
}
