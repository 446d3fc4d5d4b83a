//! The machine as Linux tells of it: resident memory of this process, and the processor. Elsewhere there is no figure.

use std::fs;

/// Bytes resident now.
pub fn resident_bytes() -> Option<u64> {
    status("VmRSS:")
}

/// The largest resident set since [`restart_peak`].
pub fn peak_bytes() -> Option<u64> {
    status("VmHWM:")
}

/// Starts a new measurement of the peak.
pub fn restart_peak() {
    // Writing 5 resets the peak. Where that is refused, the peak is that of the whole process: never too small.
    let _ = fs::write("/proc/self/clear_refs", "5");
}

fn status(field: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// The processor's name, `unknown` where the system does not tell.
pub fn processor() -> String {
    let information = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = information.lines().find_map(|line| line.strip_prefix("model name"));
    line.map_or("unknown".to_owned(), |line| line.trim_start_matches([' ', '\t', ':']).trim().to_owned())
}
