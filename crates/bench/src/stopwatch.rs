//! The clock of the benchmarks.
//!
//! On one thread it is the CPU time of the process, which does not count what other programs take; on several threads it is
//! wall time, because CPU time would add the threads up. Where both are wanted, they are a [`Span`].

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// How long something took on both clocks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Span {
    /// Milliseconds on the wall.
    pub wall_ms: f64,
    /// Milliseconds of processor time, of all threads together.
    pub processor_ms: f64,
}

impl Span {
    /// The median of each clock; zero of no spans.
    pub fn middle(spans: &[Self]) -> Self {
        Self {
            wall_ms: middle(spans.iter().map(|span| span.wall_ms).collect()),
            processor_ms: middle(spans.iter().map(|span| span.processor_ms).collect()),
        }
    }

    /// The part of one of so many equal things.
    pub fn divided(&self, count: usize) -> Self {
        let count = count.max(1) as f64;
        Self { wall_ms: self.wall_ms / count, processor_ms: self.processor_ms / count }
    }

    /// Nanoseconds of processor time for each of so many things.
    pub fn nanoseconds_each(&self, count: usize) -> f64 {
        self.processor_ms * 1e6 / count.max(1) as f64
    }
}

/// A started clock.
pub struct Stopwatch {
    wall: Instant,
    processor: Duration,
}

impl Stopwatch {
    /// Starts.
    pub fn start() -> Self {
        Self { wall: Instant::now(), processor: processor_time() }
    }

    /// A clock that started with the process. What ran before this call counts by its processor time on both clocks: it is the
    /// little that happens before a command begins, on one thread.
    pub fn of_process() -> Self {
        let now = Instant::now();
        Self { wall: now.checked_sub(processor_time()).unwrap_or(now), processor: Duration::ZERO }
    }

    /// Both clocks since the start.
    pub fn span(&self) -> Span {
        Span {
            wall_ms: self.wall.elapsed().as_secs_f64() * 1e3,
            processor_ms: processor_time().saturating_sub(self.processor).as_secs_f64() * 1e3,
        }
    }

    /// Milliseconds since the start.
    pub fn milliseconds(&self) -> f64 {
        let elapsed = if uses_processor_time() {
            processor_time().saturating_sub(self.processor)
        } else {
            self.wall.elapsed()
        };
        elapsed.as_secs_f64() * 1e3
    }
}

/// Whether times are CPU times.
pub fn uses_processor_time() -> bool {
    rayon::current_num_threads() == 1
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// The median; zero of no times.
pub fn middle(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(0.0)
}
