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

/// Bytes that this process may still take: what is left of `limit` after what is resident, and of the address space
/// (`ulimit -v`) after what is mapped. Nothing where the kernel does not say.
pub(super) fn headroom(limit: u64) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let resident = limit.saturating_sub(field(&status, "VmRSS:")?);
    let mapped = address_space(&limits).map(|most| Some(most.saturating_sub(field(&status, "VmSize:")?)));
    Some(mapped.unwrap_or(Some(u64::MAX))?.min(resident))
}

/// The soft limit on the address space, in bytes; nothing where there is none.
fn address_space(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max address space"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// A field in KiB, in bytes.
fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_in_kibibytes() {
        let status = "Name:\tx\nVmPeak:\t    1024 kB\nVmHWM:\t       3 kB\n";
        assert_eq!(field(status, "VmPeak:"), Some(1 << 20));
        assert_eq!(field(status, "VmHWM:"), Some(3072));
        assert_eq!(field(status, "VmSwap:"), None);
    }

    #[test]
    fn the_address_space_is_limited_or_not() {
        let line = |soft: &str| {
            format!("Limit   Soft Limit\nMax address space         {soft}   unlimited   bytes\n")
        };
        assert_eq!(address_space(&line("1073741824")), Some(1 << 30));
        assert_eq!(address_space(&line("unlimited")), None);
    }

    #[test]
    fn what_is_left_is_less_than_the_limit() {
        // Only where there is such a file.
        if let Some(left) = headroom(1 << 40) {
            assert!(left < 1 << 40 && left > 0);
            assert_eq!(headroom(0), Some(0));
        }
    }
}
