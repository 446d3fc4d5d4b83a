//! Magnitude pruning: the smallest weights of each linear layer become zero.

use crate::{draft::Draft, error::ZooError};

/// Sets this percentage of the weights of every linear layer to zero, those nearest to zero; rounded down.
///
/// # Errors
/// A percentage of 0 or more than 99.
pub fn prune(draft: &mut Draft, percent: u32) -> Result<(), ZooError> {
    if !(1..=99).contains(&percent) {
        let (setting, found) = ("percent", percent.to_string());
        return Err(ZooError::Setting { setting, expected: "1 to 99".into(), found });
    }
    let shape = draft.shape()?;
    for (name, values) in &mut draft.tensors {
        if shape.linear(name).is_none() {
            continue;
        }
        let mut order: Vec<usize> = (0..values.data.len()).collect();
        // Ties go to the earlier weight, so that the result is the same everywhere.
        order.sort_by(|&a, &b| values.data[a].abs().total_cmp(&values.data[b].abs()).then(a.cmp(&b)));
        for &index in order.iter().take(values.data.len() * percent as usize / 100) {
            values.data[index] = 0.0;
        }
    }
    Ok(())
}
