//! The hook that sends activations to the contributor and combines the deltas with the model's own outputs.

use std::collections::HashMap;

use lorica_model::{Activations, Hook, HookError, HookOutput, ModuleInfo};
use lorica_relation::rows::StreamIndex;
use lorica_serve::ClientSession;
use lorica_tensor::{ModuleName, fixed_point::quantize_rows};
use lorica_verify::manifest::{Manifest, ManifestModule};

use crate::args::Combine;

/// The streams of a session: for each group of the base model that has adapted modules, those modules.
pub(super) struct Streams {
    modules: Vec<Vec<ModuleName>>,
    /// For each adapted module its stream and its place in it.
    places: HashMap<ModuleName, (StreamIndex, usize)>,
}

impl Streams {
    pub(super) fn new(model: &[ModuleInfo], manifest: &Manifest) -> Self {
        let mut streams = Self { modules: Vec::new(), places: HashMap::new() };
        for group in model.chunk_by(|left, right| left.group == right.group) {
            let adapted = group.iter().map(|module| &module.name);
            let adapted: Vec<ModuleName> = adapted
                .filter(|name| manifest.modules.iter().any(|module| &module.name == *name))
                .cloned()
                .collect();
            if adapted.is_empty() {
                continue;
            }
            let stream = StreamIndex(streams.modules.len());
            let places = adapted.iter().enumerate().map(|(place, name)| (name.clone(), (stream, place)));
            streams.places.extend(places);
            streams.modules.push(adapted);
        }
        streams
    }

    /// The modules of each stream.
    pub(super) fn modules(&self) -> &[Vec<ModuleName>] {
        &self.modules
    }

    fn of_group(&self, modules: &[ModuleName]) -> Option<StreamIndex> {
        modules.iter().find_map(|name| self.places.get(name)).map(|(stream, _)| *stream)
    }
}

/// Which deltas a pass uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// The exact ones, which are recorded and proven.
    Fixed,
    /// The exact ones, compared with float deltas for the same rows.
    Compared,
    /// Float deltas: for diagnosis, not recorded.
    Float,
}

/// How far exact deltas, turned into floats, are from float deltas for the same rows.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Deviation {
    /// The largest absolute difference.
    pub(super) max: f64,
    /// The largest difference over the largest entry of its delta row.
    pub(super) max_relative: f64,
    squares: f64,
    entries: u64,
}

impl Deviation {
    /// The root of the mean square difference.
    pub(super) fn rms(&self) -> f64 {
        (self.squares / self.entries.max(1) as f64).sqrt()
    }

    fn add_row(&mut self, fixed: &[f32], float: &[f32]) {
        let mut largest = 0f64;
        let mut row_max = 0f64;
        for (&fixed, &float) in fixed.iter().zip(float) {
            let difference = (f64::from(fixed) - f64::from(float)).abs();
            largest = largest.max(f64::from(float).abs());
            row_max = row_max.max(difference);
            self.squares += difference * difference;
        }
        self.entries += fixed.len() as u64;
        self.max = self.max.max(row_max);
        if largest > 0.0 {
            self.max_relative = self.max_relative.max(row_max / largest);
        }
    }
}

/// A remote adapter in the forward pass.
pub(super) struct RemoteAdapter<'a> {
    session: &'a mut ClientSession,
    manifest: &'a Manifest,
    streams: &'a Streams,
    combine: Combine,
    mode: Mode,
    pub(super) deviation: Deviation,
}

impl<'a> RemoteAdapter<'a> {
    pub(super) fn new(
        session: &'a mut ClientSession,
        manifest: &'a Manifest,
        streams: &'a Streams,
        combine: Combine,
        mode: Mode,
    ) -> Self {
        Self { session, manifest, streams, combine, mode, deviation: Deviation::default() }
    }

    /// For each module of a stream its deltas as floats, row-major.
    fn deltas(&mut self, stream: StreamIndex, input: &Activations<'_>) -> Result<Vec<Vec<f32>>, HookError> {
        if self.mode == Mode::Float {
            return Ok(self.session.float(stream, input.values)?);
        }
        let rows = quantize_rows(input.values, input.width)?;
        let exact = self.session.call(stream, &rows.values, &rows.exponents)?;
        let modules = self.streams.modules.get(stream.0).map_or(&[][..], Vec::as_slice);
        let fixed: Vec<Vec<f32>> = modules
            .iter()
            .zip(&exact)
            .filter_map(|(name, exact)| Some(to_floats(self.module(name)?, &rows.exponents, exact)))
            .collect();
        if self.mode == Mode::Compared {
            let float = self.session.float(stream, input.values)?;
            for (fixed, float) in fixed.iter().zip(&float) {
                let width = fixed.len() / input.tokens.max(1);
                for (fixed, float) in fixed.chunks(width.max(1)).zip(float.chunks(width.max(1))) {
                    self.deviation.add_row(fixed, float);
                }
            }
        }
        Ok(fixed)
    }

    fn module(&self, name: &ModuleName) -> Option<&ManifestModule> {
        self.manifest.modules.iter().find(|module| &module.name == name)
    }
}

/// `D * 2^-(e_x + e_A + e_B) * scaling`, row by row.
fn to_floats(module: &ManifestModule, exponents: &[i16], exact: &[i64]) -> Vec<f32> {
    let rows = exact.chunks(module.outputs.max(1)).zip(exponents);
    rows.flat_map(|(row, &exponent)| {
        let unit = module.delta_unit(exponent);
        row.iter().map(move |&value| (value as f64 * unit) as f32)
    })
    .collect()
}

impl Hook for RemoteAdapter<'_> {
    fn wants(&self, modules: &[ModuleName]) -> bool {
        self.streams.of_group(modules).is_some()
    }

    fn group(
        &mut self,
        modules: &[ModuleName],
        input: &Activations<'_>,
    ) -> Result<Vec<HookOutput>, HookError> {
        let Some(stream) = self.streams.of_group(modules) else {
            return Ok(vec![HookOutput::Keep; modules.len()]);
        };
        let mut deltas: Vec<Option<Vec<f32>>> = self.deltas(stream, input)?.into_iter().map(Some).collect();
        let mut take = |name: &ModuleName| deltas.get_mut(self.streams.places.get(name)?.1)?.take();
        let outputs = modules.iter().map(|name| match (take(name), self.combine) {
            (None, _) => HookOutput::Keep,
            (Some(values), Combine::AddDelta) => HookOutput::Add(values),
            (Some(values), Combine::Replace) => HookOutput::Replace(values),
        });
        Ok(outputs.collect())
    }
}
