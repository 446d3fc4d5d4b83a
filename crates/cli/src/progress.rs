//! Progress on stderr: only on a terminal, only for work that has already taken a while.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Work that is done sooner shows no bar.
const PATIENCE: Duration = Duration::from_millis(700);

/// The unit of a bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Bytes.
    Bytes,
    /// Anything that is counted.
    Items,
}

/// One piece of work. The bar disappears when it is dropped.
pub(crate) struct Progress {
    enabled: bool,
    label: &'static str,
    unit: Unit,
    started: Instant,
    bar: Mutex<Option<ProgressBar>>,
}

impl Progress {
    pub(crate) fn new(enabled: bool, label: &'static str, unit: Unit) -> Self {
        Self { enabled, label, unit, started: Instant::now(), bar: Mutex::new(None) }
    }

    /// Says how much is done of how much. Cheap enough to be called for every row.
    pub(crate) fn set(&self, done: u64, total: u64) {
        if !self.enabled || self.started.elapsed() < PATIENCE {
            return;
        }
        let mut bar = self.bar.lock().unwrap_or_else(PoisonError::into_inner);
        let bar = bar.get_or_insert_with(|| self.make(total));
        bar.set_length(total);
        bar.set_position(done.min(total));
    }

    fn make(&self, total: u64) -> ProgressBar {
        let template = match self.unit {
            Unit::Bytes => "{msg} [{bar:30}] {bytes}/{total_bytes}, {eta} left",
            Unit::Items => "{msg} [{bar:30}] {human_pos}/{human_len}, {eta} left",
        };
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(self.label);
        bar
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = self.bar.get_mut().unwrap_or_else(PoisonError::into_inner) {
            bar.finish_and_clear();
        }
    }
}
