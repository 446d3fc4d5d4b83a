//! Values that clap has no parser for.

/// A size in bytes: a number with an optional unit, powers of 1024 (`KiB`) or of 1000 (`KB`).
pub(crate) fn memory(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 9] = [
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("TiB", 1 << 40),
        ("KB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("TB", 1_000_000_000_000),
        ("", 1),
    ];
    let digits = text.trim_end_matches(|character: char| character.is_ascii_alphabetic() || character == ' ');
    let unit = text[digits.len()..].trim_start();
    let expected = || format!("expected a size such as 2GiB or 500MB, found {text:?}");
    let factor =
        UNITS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor).ok_or_else(expected)?;
    let value: f64 = digits.parse().map_err(|_| expected())?;
    let bytes = value * factor as f64;
    // Below this no model runs; above it the number is a slip.
    if !(1e6..=1e15).contains(&bytes) {
        return Err(format!("expected at least 1MB, found {text:?}"));
    }
    Ok(bytes as u64)
}

/// A share strictly between 0 and 1.
pub(crate) fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate < 1.0 => Ok(rate),
        _ => Err(format!("expected a share between 0 and 1, such as 0.01, found {text:?}")),
    }
}

/// A number in `[0, 1]`.
pub(crate) fn unit(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.0..=1.0).contains(&value) => Ok(value),
        _ => Err(format!("expected a number from 0 to 1, found {text:?}")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(memory("2GiB").unwrap(), 2 << 30);
        assert_eq!(memory("1.5 GB").unwrap(), 1_500_000_000);
        assert_eq!(memory("2000000").unwrap(), 2_000_000);
        for bad in ["", "GiB", "2 gigs", "-1GiB", "NaN", "5", "inf", "1e30GB"] {
            assert!(memory(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn rates_are_shares() {
        assert_eq!(rate("0.01").unwrap(), 0.01);
        for bad in ["0", "1", "NaN", "-1", "1%"] {
            assert!(rate(bad).is_err(), "{bad}");
        }
        assert_eq!(unit("0").unwrap(), 0.0);
        assert!(unit("1.1").is_err());
    }
}
