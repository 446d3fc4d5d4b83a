//! Round-to-nearest quantization, symmetric, with one scale for a group of inputs of one output.
//!
//! A group of weights w with largest magnitude m becomes `s round(w / s)` with `s = m / (2^(bits - 1) - 1)`, so no weight
//! moves by more than `s / 2`. The result is stored as floats: what differs is the function, not the file format.

use serde::{Deserialize, Serialize};

use crate::{
    draft::{Draft, Values},
    error::ZooError,
    shape::Orientation,
};

/// Which matrices are quantized. Biases, norms and positions never are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Matrices {
    /// The linear layers.
    Linear,
    /// The linear layers, the embedding and the output matrix; in the latter two a token counts as an output.
    All,
}

/// How weights are rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quantization {
    /// Bits of a weight, 2 to 8.
    pub bits: u32,
    /// Inputs that share a scale; absent: all inputs of an output.
    pub group: Option<usize>,
    /// Which matrices.
    pub matrices: Matrices,
}

impl Quantization {
    /// The largest integer a weight becomes.
    fn levels(self) -> f32 {
        ((1u32 << (self.bits - 1)) - 1) as f32
    }
}

/// Rounds the matrices of a draft.
///
/// # Errors
/// Bits or a group outside their range.
pub fn quantize(draft: &mut Draft, how: Quantization) -> Result<(), ZooError> {
    if !(2..=8).contains(&how.bits) {
        let (setting, found) = ("bits", how.bits.to_string());
        return Err(ZooError::Setting { setting, expected: "2 to 8".into(), found });
    }
    if how.group == Some(0) {
        return Err(ZooError::Setting { setting: "group", expected: "at least 1".into(), found: "0".into() });
    }
    let shape = draft.shape()?;
    for (name, values) in &mut draft.tensors {
        let token_matrix = how.matrices == Matrices::All && shape.token_matrices().contains(&name.as_str());
        let orientation = shape.linear(name).or(token_matrix.then_some(Orientation::OutputsFirst));
        if let Some(orientation) = orientation {
            round_matrix(values, orientation, how);
        }
    }
    Ok(())
}

fn round_matrix(values: &mut Values, orientation: Orientation, how: Quantization) {
    let [rows, columns] = values.shape[..] else { return };
    let (outputs, inputs) = match orientation {
        Orientation::OutputsFirst => (rows, columns),
        Orientation::InputsFirst => (columns, rows),
    };
    let place = |output: usize, input: usize| match orientation {
        Orientation::OutputsFirst => output * inputs + input,
        Orientation::InputsFirst => input * outputs + output,
    };
    let group = how.group.unwrap_or(inputs);
    for output in 0..outputs {
        for start in (0..inputs).step_by(group) {
            let members = start..inputs.min(start + group);
            let largest =
                members.clone().map(|input| values.data[place(output, input)].abs()).fold(0f32, f32::max);
            if largest == 0.0 {
                continue;
            }
            let scale = largest / how.levels();
            for input in members {
                let value = &mut values.data[place(output, input)];
                *value = scale * (*value / scale).round_ties_even();
            }
        }
    }
}
