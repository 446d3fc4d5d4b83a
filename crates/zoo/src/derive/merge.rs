//! A LoRA adapter merged into the weights: `W + c s B A`, with the adapter's own factor s and a strength c.

use lorica_adapter::{Adapter, AdapterError, BaseMismatch};

use crate::{draft::Draft, error::ZooError, shape::Orientation};

/// Adds an adapter to the weights it adapts. Strength 1 is what the adapter was trained for.
///
/// # Errors
/// A strength that is not a number, and an adapter that does not fit the model.
pub fn merge(draft: &mut Draft, adapter: &Adapter, strength: f64) -> Result<(), ZooError> {
    if !strength.is_finite() || strength == 0.0 {
        let (setting, found) = ("strength", strength.to_string());
        return Err(ZooError::Setting { setting, expected: "a number other than 0".into(), found });
    }
    let shape = draft.shape()?;
    for module in &adapter.modules {
        let name = format!("{}.weight", module.name);
        let orientation = shape.linear(&name);
        let (Some(orientation), Some(values)) = (orientation, draft.tensors.get_mut(&name)) else {
            let mismatches = vec![BaseMismatch::Missing { module: module.name.clone() }];
            return Err(AdapterError::Base { mismatches }.into());
        };
        let (outputs, inputs) = match (orientation, &values.shape[..]) {
            (Orientation::OutputsFirst, &[outputs, inputs]) => (outputs, inputs),
            (Orientation::InputsFirst, &[inputs, outputs]) => (outputs, inputs),
            _ => (0, 0),
        };
        if (outputs, inputs) != (module.outputs, module.inputs) {
            let mismatches = vec![BaseMismatch::Widths {
                module: module.name.clone(),
                base_inputs: inputs,
                base_outputs: outputs,
                inputs: module.inputs,
                outputs: module.outputs,
            }];
            return Err(AdapterError::Base { mismatches }.into());
        }
        let factor = strength * module.factor();
        for (output, b) in module.b.chunks_exact(module.rank).enumerate() {
            for input in 0..inputs {
                let a = module.a.iter().skip(input).step_by(inputs);
                let update: f64 = b.iter().zip(a).map(|(&b, &a)| f64::from(b) * f64::from(a)).sum();
                let place = match orientation {
                    Orientation::OutputsFirst => output * inputs + input,
                    Orientation::InputsFirst => input * outputs + output,
                };
                let value = &mut values.data[place];
                *value = (f64::from(*value) + factor * update) as f32;
            }
        }
    }
    Ok(())
}
