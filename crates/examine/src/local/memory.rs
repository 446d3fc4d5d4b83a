//! What this process has needed of memory, as the kernel counts it.

use serde::{Deserialize, Serialize};

/// The most memory this process has held, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeakMemory {
    /// Resident: `VmHWM`. What a control group charges, save the page cache.
    pub resident: u64,
    /// Mapped: `VmPeak`. What `ulimit -v` limits.
    pub mapped: u64,
}

/// The peak so far of this process; nothing where `/proc/self/status` is not there or does not say.
pub fn peak_memory() -> Option<PeakMemory> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    Some(PeakMemory { resident: field(&status, "VmHWM:")?, mapped: field(&status, "VmPeak:")? })
}

/// A field in KiB, in bytes.
fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::field;

    #[test]
    fn fields_are_in_kibibytes() {
        let status = "Name:\tx\nVmPeak:\t    1024 kB\nVmHWM:\t       3 kB\n";
        assert_eq!(field(status, "VmPeak:"), Some(1 << 20));
        assert_eq!(field(status, "VmHWM:"), Some(3072));
        assert_eq!(field(status, "VmSwap:"), None);
    }
}
