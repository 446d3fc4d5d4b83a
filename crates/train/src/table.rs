//! Data sets as people have them: CSV and safetensors files of floats, and their way to 16-bit integers.
//!
//! **CSV.** The first line names the columns. `label` is a class, counted from 0; columns whose names begin with `target` are numbers to
//! learn; all others are inputs, in their order. There is either one `label` or targets. Fields are plain numbers, without quotes
//! or spaces; lines end with a line feed.
//!
//! **safetensors.** `inputs` (N x d, floats or bytes) with `labels` (N, integers) or `targets` (N x K, floats).

use std::path::{Path, PathBuf};

use lorica_tensor::{
    checkpoint::{Checkpoint, Dtype, LoadError},
    files::{FileError, read_at_most},
};

use crate::{data::DataSet, error::TrainError};

/// The largest CSV file, in bytes.
const MAX_CSV_BYTES: u64 = 1 << 30;

/// Samples as floats.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Inputs of a sample.
    pub columns: usize,
    /// Sample after sample.
    pub inputs: Vec<f32>,
    /// What is to be learned.
    pub targets: Targets,
}

/// What is to be learned.
#[derive(Debug, Clone, PartialEq)]
pub enum Targets {
    /// One class a sample.
    Labels(Vec<u32>),
    /// Numbers.
    Values {
        /// How many a sample.
        columns: usize,
        /// Sample after sample.
        values: Vec<f32>,
    },
}

/// Why data are refused.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A tensor cannot be read.
    #[error(transparent)]
    Tensor(#[from] LoadError),
    /// A CSV file has something else than was expected.
    #[error("{}, line {line}: expected {expected}, found {found}", path.display())]
    Csv {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A tensor has another shape or type.
    #[error("tensor {tensor} of {}: expected {expected}, found {found}", path.display())]
    Shape {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A number does not fit into 16 bits with these fraction bits.
    #[error(
        "sample {row}, {what} {column}: {value} with {bits} fraction bits is beyond 16 bits: scale the data, or use fewer bits"
    )]
    Range {
        /// `input` or `target`.
        what: &'static str,
        /// The sample, from 0.
        row: usize,
        /// The column, from 0.
        column: usize,
        /// The number.
        value: f32,
        /// Fraction bits.
        bits: u32,
    },
    /// A label that the model has no output for.
    #[error("sample {row} has label {label}, but the model has {outputs} outputs, for labels from 0")]
    Label {
        /// The sample, from 0.
        row: usize,
        /// Its label.
        label: u32,
        /// Outputs of the model.
        outputs: usize,
    },
    /// Parts of other sizes.
    #[error(transparent)]
    Size(#[from] TrainError),
}

impl Table {
    /// Reads a CSV file.
    ///
    /// # Errors
    /// Anything but what the module's page says.
    pub fn read_csv(path: &Path) -> Result<Self, TableError> {
        let bytes = read_at_most(path, MAX_CSV_BYTES)?;
        let error = |line: usize, expected: &str, found: &str| TableError::Csv {
            path: path.to_owned(),
            line,
            expected: expected.to_owned(),
            found: format!("`{}`", found.chars().take(80).collect::<String>()),
        };
        let text = std::str::from_utf8(&bytes).map_err(|_| error(1, "text in UTF-8", "other bytes"))?;
        let mut lines = text.strip_suffix('\n').unwrap_or(text).split('\n').enumerate();
        let (_, header) = lines.next().unwrap_or((0, ""));
        let roles: Vec<Role> = header.split(',').map(Role::of).collect();
        let count = |wanted: Role| roles.iter().filter(|role| **role == wanted).count();
        let (columns, labels, targets) = (count(Role::Input), count(Role::Label), count(Role::Target));
        if columns == 0 || labels > 1 || (labels == 1) == (targets > 0) {
            let expected = "names of columns, with one `label` or some `target...`, and inputs";
            return Err(error(1, expected, header));
        }
        let (mut inputs, mut classes, mut values) = (Vec::new(), Vec::new(), Vec::new());
        for (index, line) in lines {
            let number = index + 1;
            let fields = line.split(',').count();
            if fields != roles.len() {
                return Err(error(number, &format!("{} fields", roles.len()), &format!("{fields} fields")));
            }
            for (role, field) in roles.iter().zip(line.split(',')) {
                let float = || {
                    let value = field.parse::<f32>().ok().filter(|value| value.is_finite());
                    value.ok_or_else(|| error(number, "a finite number", field))
                };
                match role {
                    Role::Input => inputs.push(float()?),
                    Role::Target => values.push(float()?),
                    Role::Label => {
                        let label = field.parse().ok().filter(|_| field.bytes().all(|b| b.is_ascii_digit()));
                        classes.push(label.ok_or_else(|| error(number, "a class, 0 or more", field))?);
                    }
                }
            }
        }
        let targets =
            if labels == 1 { Targets::Labels(classes) } else { Targets::Values { columns: targets, values } };
        Ok(Self { columns, inputs, targets })
    }

    /// Reads a safetensors file.
    ///
    /// # Errors
    /// Anything but what the module's page says.
    pub fn read_safetensors(path: &Path) -> Result<Self, TableError> {
        let file = Checkpoint::open(path)?;
        let shape_error = |tensor: &str, expected: &str, found: String| TableError::Shape {
            path: path.to_owned(),
            tensor: tensor.to_owned(),
            expected: expected.to_owned(),
            found,
        };
        let matrix = |name: &str, rows: Option<usize>| {
            let found = file.tensor(name)?;
            match found.shape.as_slice() {
                [count, columns] if *columns > 0 && rows.is_none_or(|rows| rows == *count) => {}
                shape => {
                    let expected =
                        rows.map_or("samples x columns".to_owned(), |rows| format!("{rows} x columns"));
                    return Err(shape_error(name, &expected, format!("{shape:?}")));
                }
            }
            let columns = found.shape.last().copied().unwrap_or(1);
            let values = match found.dtype {
                Dtype::U8 => file.bytes(name)?.into_iter().map(f32::from).collect(),
                _ => file.read_f32(name)?,
            };
            Ok::<_, TableError>((columns, values))
        };
        let (columns, inputs) = matrix("inputs", None)?;
        let rows = inputs.len() / columns;
        if file.tensor("labels").is_err() {
            let (columns_of_targets, values) = matrix("targets", Some(rows))?;
            return Ok(Self {
                columns,
                inputs,
                targets: Targets::Values { columns: columns_of_targets, values },
            });
        }
        let found = file.tensor("labels")?;
        if found.shape != [rows] {
            return Err(shape_error("labels", &format!("[{rows}]"), format!("{:?}", found.shape)));
        }
        let size = match found.dtype {
            Dtype::U8 => 1,
            Dtype::I32 => 4,
            Dtype::I64 => 8,
            other => return Err(shape_error("labels", "U8, I32 or I64", other.to_string())),
        };
        let mut labels = Vec::with_capacity(rows);
        for bytes in file.bytes("labels")?.chunks(size) {
            // A negative label has its highest bits set, and is too large.
            let label = bytes.iter().rev().fold(0u64, |label, byte| label << 8 | u64::from(*byte));
            let label = u32::try_from(label).ok().filter(|label| *label < 1 << 31);
            labels.push(label.ok_or_else(|| {
                shape_error("labels", "classes, 0 or more", "a negative number".to_owned())
            })?);
        }
        Ok(Self { columns, inputs, targets: Targets::Labels(labels) })
    }

    /// Multiplies all inputs by a factor.
    pub fn scale_inputs(mut self, factor: f32) -> Self {
        self.inputs.iter_mut().for_each(|value| *value *= factor);
        self
    }

    /// Rows of 16-bit integers, each rounded to nearest (halves to even), with so many fraction bits; a label becomes a row of zeros
    /// with one 1 among `outputs` targets.
    ///
    /// # Errors
    /// Numbers beyond 16 bits, labels beyond the outputs.
    pub fn quantise(&self, input_bits: u32, target_bits: u32, outputs: usize) -> Result<DataSet, TableError> {
        let mut samples = Vec::new();
        for (row, inputs) in self.inputs.chunks(self.columns.max(1)).enumerate() {
            let round = |what, values: &[f32], bits: u32, samples: &mut Vec<i16>| {
                for (column, value) in values.iter().enumerate() {
                    let rounded = (f64::from(*value) * f64::exp2(f64::from(bits))).round_ties_even();
                    let range = f64::from(i16::MIN)..=f64::from(i16::MAX);
                    if !range.contains(&rounded) {
                        return Err(TableError::Range { what, row, column, value: *value, bits });
                    }
                    samples.push(rounded as i16);
                }
                Ok(())
            };
            round("input", inputs, input_bits, &mut samples)?;
            match &self.targets {
                Targets::Values { columns, values } => {
                    let targets = values.chunks((*columns).max(1)).nth(row).unwrap_or_default();
                    round("target", targets, target_bits, &mut samples)?;
                }
                Targets::Labels(labels) => {
                    let label = labels.get(row).copied().unwrap_or(u32::MAX);
                    let place = usize::try_from(label).ok().filter(|place| *place < outputs);
                    let place = place.ok_or(TableError::Label { row, label, outputs })?;
                    samples.extend((0..outputs).map(|output| i16::from(output == place) << target_bits));
                }
            }
        }
        let targets = match &self.targets {
            Targets::Values { columns, .. } => *columns,
            Targets::Labels(_) => outputs,
        };
        Ok(DataSet::new(self.columns, targets, samples)?)
    }
}

/// What a CSV column is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Input,
    Label,
    Target,
}

impl Role {
    fn of(name: &str) -> Self {
        match name {
            "label" => Self::Label,
            _ if name.starts_with("target") => Self::Target,
            _ => Self::Input,
        }
    }
}

#[cfg(test)]
mod tests {
    use safetensors::tensor::TensorView;

    use super::*;

    fn csv(text: &str) -> Result<Table, TableError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.csv");
        std::fs::write(&path, text).unwrap();
        Table::read_csv(&path)
    }

    #[test]
    fn labels_and_targets_are_read() {
        let table = csv("a,label,b\n0.5,1,-2\n1e-1,0,3\n").unwrap();
        assert_eq!((table.columns, table.inputs.as_slice()), (2, [0.5, -2.0, 0.1, 3.0].as_slice()));
        assert_eq!(table.targets, Targets::Labels(vec![1, 0]));
        let data = table.quantise(4, 0, 2).unwrap();
        assert_eq!(data.samples(), [8, -32, 0, 1, 2, 48, 1, 0]);
        let table = csv("target_x,a,target_y\n1,2,3").unwrap();
        assert_eq!(table.quantise(0, 3, 2).unwrap().samples(), [2, 8, 24]);
    }

    #[test]
    fn everything_else_is_refused_with_its_line() {
        let message = |text: &str| {
            let message = csv(text).unwrap_err().to_string();
            message.split_once("data.csv, ").unwrap().1.to_owned()
        };
        for header in ["", "a,b\n1,2", "label\n1", "label,target,a\n1,1,1", "label,label,a\n1,1,1"] {
            assert!(message(header).starts_with("line 1: expected names of columns"), "{header}");
        }
        assert_eq!(message("a,label\n1,2\n1\n"), "line 3: expected 2 fields, found `1 fields`");
        assert_eq!(message("a,label\n1,2\n\n"), "line 3: expected 2 fields, found `1 fields`");
        assert_eq!(message("a,label\n1,2\r\n"), "line 2: expected a class, 0 or more, found `2\r`");
        assert_eq!(message("a,label\n1,-2\n"), "line 2: expected a class, 0 or more, found `-2`");
        assert_eq!(message("a,label\n1,+2\n"), "line 2: expected a class, 0 or more, found `+2`");
        assert_eq!(message("a,label\nnan,2\n"), "line 2: expected a finite number, found `nan`");
        assert_eq!(message("a,label\n\"1\",2\n"), "line 2: expected a finite number, found `\"1\"`");
    }

    #[test]
    fn numbers_that_do_not_fit_are_named() {
        let table = csv("a,b,label\n1,2,0\n3,128,1\n").unwrap();
        assert_eq!(
            table.quantise(8, 0, 2).unwrap_err().to_string(),
            "sample 1, input 1: 128 with 8 fraction bits is beyond 16 bits: scale the data, or use fewer bits"
        );
        assert_eq!(
            table.quantise(0, 0, 1).unwrap_err().to_string(),
            "sample 1 has label 1, but the model has 1 outputs, for labels from 0"
        );
        assert!(table.scale_inputs(0.5).quantise(8, 0, 2).is_ok());
    }

    #[test]
    fn safetensors_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.safetensors");
        let read = |labels: &[i64]| {
            let bytes: Vec<u8> = labels.iter().flat_map(|label| label.to_le_bytes()).collect();
            let inputs = TensorView::new(Dtype::U8, vec![2, 3], &[0, 1, 2, 3, 4, 255]).unwrap();
            let labels = TensorView::new(Dtype::I64, vec![labels.len()], &bytes).unwrap();
            let file = safetensors::serialize([("inputs", inputs), ("labels", labels)], None).unwrap();
            std::fs::write(&path, file).unwrap();
            Table::read_safetensors(&path)
        };
        let table = read(&[7, 0]).unwrap();
        assert_eq!(table.inputs, [0.0, 1.0, 2.0, 3.0, 4.0, 255.0]);
        assert_eq!(table.targets, Targets::Labels(vec![7, 0]));
        assert!(read(&[7]).unwrap_err().to_string().ends_with("expected [2], found [1]"));
        assert!(read(&[7, -1]).unwrap_err().to_string().ends_with("found a negative number"));
    }
}
