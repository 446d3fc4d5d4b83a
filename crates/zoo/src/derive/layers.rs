//! A model with fewer layers: the layers that are kept move together.

use std::collections::BTreeMap;

use crate::{draft::Draft, error::ZooError};

/// Keeps these layers, in this order.
///
/// # Errors
/// No layer, or one that the model does not have.
pub fn keep_layers(draft: &mut Draft, kept: &[usize]) -> Result<(), ZooError> {
    let shape = draft.shape()?;
    if kept.is_empty() || kept.iter().any(|&layer| layer >= shape.layers()) {
        return Err(ZooError::Setting {
            setting: "layers",
            expected: format!("some of the layers 0 to {}", shape.layers() - 1),
            found: format!("{kept:?}"),
        });
    }
    let prefix = shape.layer_prefix();
    let mut tensors = BTreeMap::new();
    for (name, values) in &draft.tensors {
        let of_layer = name.strip_prefix(prefix).and_then(|rest| rest.split_once('.'));
        let Some((layer, rest)) = of_layer else {
            tensors.insert(name.clone(), values.clone());
            continue;
        };
        for (new, _) in kept.iter().enumerate().filter(|(_, old)| old.to_string() == layer) {
            tensors.insert(format!("{prefix}{new}.{rest}"), values.clone());
        }
    }
    draft.tensors = tensors;
    draft.config.insert(shape.layers_field().into(), kept.len().into());
    Ok(())
}

/// Layers spread evenly over the depth, the first and the last among them where there is room.
pub(crate) fn evenly(layers: usize, kept: usize) -> Vec<usize> {
    match kept {
        0 => Vec::new(),
        1 => vec![0],
        _ => (0..kept).map(|index| index * (layers - 1) / (kept - 1)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::evenly;

    #[test]
    fn layers_are_spread_over_the_depth() {
        assert_eq!(evenly(4, 2), [0, 3]);
        assert_eq!(evenly(4, 3), [0, 1, 3]);
        assert_eq!(evenly(4, 4), [0, 1, 2, 3]);
        assert_eq!(evenly(4, 1), [0]);
    }
}
