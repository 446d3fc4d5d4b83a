//! The calls that no shard holds yet, in memory.

use std::io::{self, Write};

use lorica_relation::rows::{ModuleIndex, StreamIndex};

use crate::{
    shard::Layout,
    writer::{Call, RecordedCall},
};

/// Rows of one stream and of its modules.
#[derive(Debug, Default, Clone)]
struct StreamWindow {
    rows: u64,
    calls: u64,
    inputs: Vec<i16>,
    exponents: Vec<i16>,
}

/// One window of rows.
#[derive(Debug)]
pub(crate) struct Window {
    streams: Vec<StreamWindow>,
    deltas: Vec<Vec<i64>>,
    /// Raw bytes of all rows.
    pub(crate) bytes: u64,
    last: Option<LastCall>,
}

#[derive(Debug, Clone, Copy)]
struct LastCall {
    index: u64,
    stream: StreamIndex,
    rows: usize,
}

impl Window {
    pub(crate) fn new(layout: &Layout) -> Self {
        Self {
            streams: vec![StreamWindow::default(); layout.streams.len()],
            deltas: vec![Vec::new(); layout.modules.len()],
            bytes: 0,
            last: None,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Rows of each stream.
    pub(crate) fn rows(&self) -> Vec<u64> {
        self.streams.iter().map(|stream| stream.rows).collect()
    }

    /// Calls of each stream.
    pub(crate) fn calls(&self) -> Vec<u64> {
        self.streams.iter().map(|stream| stream.calls).collect()
    }

    /// Appends a call whose shapes were checked; `bytes` is what it takes.
    pub(crate) fn push(&mut self, call: &Call<'_>, modules: &[ModuleIndex], bytes: u64) {
        let Some(stream) = self.streams.get_mut(call.stream.0) else { return };
        stream.rows = stream.rows.saturating_add(u64::try_from(call.exponents.len()).unwrap_or(u64::MAX));
        stream.calls = stream.calls.saturating_add(1);
        stream.inputs.extend_from_slice(call.inputs);
        stream.exponents.extend_from_slice(call.exponents);
        for (module, values) in modules.iter().zip(call.deltas) {
            if let Some(deltas) = self.deltas.get_mut(module.0) {
                deltas.extend_from_slice(values);
            }
        }
        self.bytes = self.bytes.saturating_add(bytes);
        self.last = Some(LastCall { index: call.index, stream: call.stream, rows: call.exponents.len() });
    }

    /// The last call that was pushed since the window was cleared.
    pub(crate) fn last_call(&self, layout: &Layout) -> Option<RecordedCall> {
        let LastCall { index, stream, rows } = self.last?;
        let shapes = layout.streams.get(stream.0)?;
        let held = self.streams.get(stream.0)?;
        let deltas_of = |module: &ModuleIndex| {
            tail(self.deltas.get(module.0)?, rows.checked_mul(layout.outputs(*module))?)
        };
        Some(RecordedCall {
            index,
            stream,
            inputs: tail(&held.inputs, rows.checked_mul(shapes.width)?)?,
            exponents: tail(&held.exponents, rows)?,
            deltas: shapes.modules.iter().map(deltas_of).collect::<Option<_>>()?,
        })
    }

    /// Writes the tensors in the order of a shard.
    pub(crate) fn write_to(&self, layout: &Layout, file: &mut impl Write) -> io::Result<()> {
        for stream in &layout.streams {
            for module in &stream.modules {
                file.write_all(bytemuck::cast_slice(self.deltas.get(module.0).map_or(&[], Vec::as_slice)))?;
            }
        }
        for stream in &self.streams {
            file.write_all(bytemuck::cast_slice(&stream.inputs))?;
            file.write_all(bytemuck::cast_slice(&stream.exponents))?;
        }
        Ok(())
    }

    /// Forgets everything but keeps the memory.
    pub(crate) fn clear(&mut self) {
        for stream in &mut self.streams {
            stream.rows = 0;
            stream.calls = 0;
            stream.inputs.clear();
            stream.exponents.clear();
        }
        self.deltas.iter_mut().for_each(Vec::clear);
        self.bytes = 0;
        self.last = None;
    }
}

fn tail<T: Clone>(values: &[T], count: usize) -> Option<Vec<T>> {
    values.get(values.len().checked_sub(count)?..).map(<[T]>::to_vec)
}
