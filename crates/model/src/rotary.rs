//! Rotary positions: pairs of a head's entries turn by an angle that grows with the position.
//!
//! Entry i of a head of width w and entry `i + w / 2` turn together, by `position * f_i` with the frequency
//! `f_i = base^(-2 i / w)` (Su et al. 2021, in the half-split form of Llama). Llama 3.1 slows the low frequencies
//! for contexts longer than it was first trained with: a frequency that makes `turns = original * f / 2 pi` turns
//! over the original context becomes `f * (k + (1 - k) / factor)`, where k, clamped to 0..1, is
//! `(turns - low) / (high - low)`.

use candle_core::{Device, Tensor};
use serde::Serialize;

use crate::{
    config::{Fields, as_text},
    error::ModelError,
};

/// The base of the first Llama models, whose `config.json` does not state it.
const DEFAULT_BASE: f64 = 10_000.0;

/// How positions become angles; part of a model's identity.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct RotaryConfig {
    #[serde(serialize_with = "as_text")]
    base: f64,
    scaling: Scaling,
}

/// What is done to the frequencies, by the names transformers gives it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Scaling {
    Default,
    Llama3(Llama3),
}

/// The parameters of Llama 3.1's scaling.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Llama3 {
    #[serde(serialize_with = "as_text")]
    factor: f64,
    #[serde(serialize_with = "as_text")]
    low: f64,
    #[serde(serialize_with = "as_text")]
    high: f64,
    /// Positions of the original context.
    original: usize,
}

impl RotaryConfig {
    /// Reads `rope_parameters` as transformers 5 writes it, or `rope_theta` with `rope_scaling` as before.
    pub(crate) fn read(fields: &Fields) -> Result<Self, ModelError> {
        Ok(Self::read_with(fields, "rope_theta", None)?.0)
    }

    /// As [`RotaryConfig::read`], where the base stands in the field `name`, and a share of each head turns: the
    /// second result, between 0 and 1.
    pub(crate) fn read_partial(
        fields: &Fields,
        name: &str,
        share: Option<f64>,
    ) -> Result<(Self, Option<f64>), ModelError> {
        Self::read_with(fields, name, Some(share))
    }

    /// `partial` is nothing where all of a head turns, and otherwise the share stated elsewhere.
    fn read_with(
        fields: &Fields,
        name: &str,
        partial: Option<Option<f64>>,
    ) -> Result<(Self, Option<f64>), ModelError> {
        let mut share = partial.flatten();
        let mut base = None;
        if fields.has(name) {
            base = Some(fields.positive(name)?);
        }
        let mut scaling = None;
        for table in ["rope_parameters", "rope_scaling"] {
            let Some(parameters) = fields.object(table)? else { continue };
            if parameters.has("rope_theta") {
                let stated = parameters.positive("rope_theta")?;
                if base.is_some_and(|base| base != stated) {
                    return Err(parameters
                        .wrong("rope_theta", "the same value wherever rope_theta stands in the file"));
                }
                base = Some(stated);
            }
            if partial.is_none() {
                parameters.only("partial_rotary_factor", 1.0)?;
            } else if parameters.has("partial_rotary_factor") {
                let stated = parameters.positive("partial_rotary_factor")?;
                if share.is_some_and(|share| share != stated) {
                    return Err(parameters
                        .wrong("partial_rotary_factor", "the same share wherever it stands in the file"));
                }
                share = Some(stated);
            }
            let stated = Scaling::read(&parameters)?;
            if scaling.as_ref().is_some_and(|scaling| *scaling != stated) {
                return Err(fields.wrong(table, "the same scaling as in rope_parameters"));
            }
            scaling = Some(stated);
        }
        let rotary =
            Self { base: base.unwrap_or(DEFAULT_BASE), scaling: scaling.unwrap_or(Scaling::Default) };
        Ok((rotary, share))
    }

    /// The frequencies of a head of the given width, `width / 2` of them, in radians a position.
    pub(crate) fn frequencies(&self, width: usize) -> Vec<f64> {
        (0..width / 2)
            .map(|i| self.base.powf(-2.0 * i as f64 / width as f64))
            .map(|frequency| match &self.scaling {
                Scaling::Default => frequency,
                Scaling::Llama3(scaling) => scaling.apply(frequency),
            })
            // Models are trained with frequencies in single precision.
            .map(|frequency| f64::from(frequency as f32))
            .collect()
    }
}

impl Scaling {
    fn read(parameters: &Fields) -> Result<Self, ModelError> {
        const COMMON: &[&str] = &["rope_theta", "rope_type", "type", "partial_rotary_factor"];
        const LLAMA3: &[&str] =
            &["factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"];
        let kind = if parameters.has("rope_type") { "rope_type" } else { "type" };
        let (scaling, known) = match parameters.text_or(kind, "default")? {
            "default" => (Self::Default, &[][..]),
            "llama3" => (Self::Llama3(Llama3::read(parameters)?), LLAMA3),
            _ => return Err(parameters.unsupported(kind, "default, llama3")),
        };
        match parameters.names().find(|name| !COMMON.contains(name) && !known.contains(name)) {
            Some(unknown) => {
                Err(parameters.unsupported(unknown, "rope_type default or llama3 with its parameters"))
            }
            None => Ok(scaling),
        }
    }
}

impl Llama3 {
    fn read(parameters: &Fields) -> Result<Self, ModelError> {
        let low = parameters.positive("low_freq_factor")?;
        let high = parameters.positive("high_freq_factor")?;
        if high <= low {
            return Err(parameters.wrong("high_freq_factor", format!("more than low_freq_factor = {low}")));
        }
        let factor = parameters.positive("factor")?;
        let original = parameters.size("original_max_position_embeddings")?;
        Ok(Self { factor, low, high, original })
    }

    fn apply(&self, frequency: f64) -> f64 {
        let turns = self.original as f64 * frequency / std::f64::consts::TAU;
        let kept = ((turns - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        frequency * (kept + (1.0 - kept) / self.factor)
    }
}

/// Cosines and sines of the angles of consecutive positions, `[positions, width / 2]` each.
pub(crate) struct Rotary {
    cosines: Tensor,
    sines: Tensor,
}

impl Rotary {
    pub(crate) fn new(frequencies: &[f64], positions: std::ops::Range<usize>) -> candle_core::Result<Self> {
        let shape = (positions.len(), frequencies.len());
        let angles = positions.flat_map(|position| frequencies.iter().map(move |f| position as f64 * f));
        let (sines, cosines): (Vec<f32>, Vec<f32>) =
            angles.map(f64::sin_cos).map(|(sin, cos)| (sin as f32, cos as f32)).unzip();
        Ok(Self {
            cosines: Tensor::from_vec(cosines, shape, &Device::Cpu)?,
            sines: Tensor::from_vec(sines, shape, &Device::Cpu)?,
        })
    }

    /// Turns `[sequences, heads, positions, width]`, which is contiguous, from the first position on. Where there are
    /// fewer frequencies than pairs, the first entries of each head turn and the others stay.
    pub(crate) fn turn(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let (_, _, positions, width) = x.dims4()?;
        let turning = 2 * self.cosines.dim(1)?;
        let (cosines, sines) = (self.cosines.narrow(0, 0, positions)?, self.sines.narrow(0, 0, positions)?);
        if turning == width {
            return candle_nn::rotary_emb::rope(x, &cosines, &sines);
        }
        let first = x.narrow(3, 0, turning)?.contiguous()?;
        let turned = candle_nn::rotary_emb::rope(&first, &cosines, &sines)?;
        // Joined along the last dimension, the result is a view; caches take contiguous tensors only.
        Tensor::cat(&[&turned, &x.narrow(3, turning, width - turning)?], 3)?.contiguous()
    }
}

#[cfg(test)]
mod tests {
    use super::{Llama3, RotaryConfig, Scaling};

    #[test]
    fn llama3_slows_low_frequencies_only() {
        // The parameters of Llama 3.2 1B. Its 32 frequencies: those below 1 turn over 8192 positions are divided
        // by 32, those above 4 turns are kept, and numbers 15 to 17 lie between.
        let scaling = Llama3 { factor: 32.0, low: 1.0, high: 4.0, original: 8192 };
        let plain = RotaryConfig { base: 500_000.0, scaling: Scaling::Default }.frequencies(64);
        let scaled = RotaryConfig { base: 500_000.0, scaling: Scaling::Llama3(scaling) }.frequencies(64);
        for (i, (plain, scaled)) in plain.iter().zip(&scaled).enumerate() {
            let ratio = scaled / plain;
            let expected = match i {
                0..15 => 1.0,
                // The formula of transformers: with wavelength w and s = (8192 / w - 1) / 3,
                // the frequency is (1 - s) f / 32 + s f.
                15..18 => {
                    let smooth = (8192.0 / (std::f64::consts::TAU / plain) - 1.0) / 3.0;
                    assert!((0.0..1.0).contains(&smooth), "frequency {i}");
                    (1.0 - smooth) / 32.0 + smooth
                }
                _ => 1.0 / 32.0,
            };
            assert!((ratio - expected).abs() < 1e-6, "frequency {i}: {ratio} instead of {expected}");
        }
    }
}
