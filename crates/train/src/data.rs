//! Data sets: rows of 16-bit integers, the inputs of a sample before its targets.

use zeroize::Zeroizing;

use crate::error::TrainError;

/// A data set.
#[derive(Clone)]
pub struct DataSet {
    inputs: usize,
    targets: usize,
    samples: Zeroizing<Vec<i16>>,
}

impl DataSet {
    /// Rows of `inputs + targets` integers.
    ///
    /// # Errors
    /// A part of a row.
    pub fn new(inputs: usize, targets: usize, samples: Vec<i16>) -> Result<Self, TrainError> {
        let width = inputs + targets;
        let rest = samples.len() % width.max(1);
        if width == 0 || rest != 0 {
            let what = "the last row of the data set".to_owned();
            return Err(TrainError::Size { what, expected: width, found: rest });
        }
        Ok(Self { inputs, targets, samples: Zeroizing::new(samples) })
    }

    /// Entries of a row.
    pub fn width(&self) -> usize {
        self.inputs + self.targets
    }

    /// Inputs of a row.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Targets of a row.
    pub fn targets(&self) -> usize {
        self.targets
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.samples.len() / self.width()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// All rows, one after the other.
    pub fn samples(&self) -> &[i16] {
        &self.samples
    }

    /// Some rows, one after the other.
    ///
    /// # Errors
    /// A row that there is not.
    pub fn rows(&self, indices: &[usize]) -> Result<Zeroizing<Vec<i16>>, TrainError> {
        let mut rows = Zeroizing::new(Vec::with_capacity(indices.len() * self.width()));
        for index in indices {
            let row = index
                .checked_mul(self.width())
                .and_then(|start| self.samples.get(start..start.checked_add(self.width())?));
            rows.extend_from_slice(row.ok_or(TrainError::Row { found: *index, rows: self.len() })?);
        }
        Ok(rows)
    }
}

// Data may be private: a stray `{:?}` must not print them.
impl std::fmt::Debug for DataSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DataSet({} rows of {} inputs and {} targets)", self.len(), self.inputs, self.targets)
    }
}
