//! Only loopback addresses are served and used for now: nothing here encrypts or tells users apart.

use std::net::IpAddr;

/// An address that other machines could reach.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{address} is not a loopback address: activations and deltas travel unencrypted and without accounts in this version, so \
     only this machine may be reached; use 127.0.0.1 or [::1] (TLS and accounts come in a later version)"
)]
pub struct NotLoopback {
    /// The address.
    pub address: String,
}

/// Refuses an address that is not this machine.
pub fn require_loopback(address: IpAddr) -> Result<(), NotLoopback> {
    if address.to_canonical().is_loopback() {
        return Ok(());
    }
    Err(NotLoopback { address: address.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine() {
        for good in ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(require_loopback(good.parse().unwrap()), Ok(()));
        }
        for bad in ["0.0.0.0", "::", "192.168.0.1", "8.8.8.8", "::ffff:10.0.0.1"] {
            let error = require_loopback(bad.parse().unwrap()).unwrap_err();
            assert!(error.to_string().contains("TLS and accounts come in a later version"), "{error}");
        }
    }
}
