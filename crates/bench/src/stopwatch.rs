//! The clock of the benchmarks.
//!
//! On one thread it is the CPU time of the process, which does not count what other programs take; on several threads it is
//! wall time, because CPU time would add the threads up.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

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
