//! A temperature inside the weights: the last norm, through which every logit is linear, is divided by it.

use crate::{draft::Draft, error::ZooError};

/// Divides all logits by a temperature: above 1 the distributions are flatter, below 1 sharper.
///
/// # Errors
/// A temperature that is not above 0.
pub fn temper(draft: &mut Draft, temperature: f64) -> Result<(), ZooError> {
    if !temperature.is_finite() || temperature <= 0.0 {
        let (setting, found) = ("temperature", temperature.to_string());
        return Err(ZooError::Setting { setting, expected: "above 0".into(), found });
    }
    for name in draft.shape()?.final_norm() {
        for value in &mut draft.tensor(name)?.data {
            *value = (f64::from(*value) / temperature) as f32;
        }
    }
    Ok(())
}
