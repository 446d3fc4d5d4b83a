//! Modes: an error probability, the thresholds and the numbers of queries, validated together.
//!
//! | mode | alpha | gamma | delta* | n_min | n_max | floor |
//! |---|---|---|---|---|---|---|
//! | quick | 0.025 | 0.15 | 0.20 | 10 | 120 | 23 |
//! | audit | 0.01 | 0.10 | 0.12 | 30 | 400 | 44 |
//! | extended | 0.001 | 0.05 | 0.06 | 50 | 800 | 135 |
//!
//! A mode is checked against its floor ([`floor`]) when it is made and when it is read: a mode in which SAME can never
//! happen does not exist. Plans ([`crate::plan`]) are made of modes.

use serde::{Deserialize, Serialize};

/// An error probability, two thresholds and two numbers of queries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "ModeParts", into = "ModeParts")]
pub struct Mode {
    parts: ModeParts,
}

/// The numbers of a mode, not yet checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModeParts {
    /// Its name. `quick`, `audit` and `extended` belong to the numbers of the table.
    pub name: String,
    /// The probability of a false SAME, and of a false DIFFERENT, at most; above 0, at most 0.25.
    pub alpha: f64,
    /// SAME says that the mean distance is at most this; above 0, at most `delta_star`.
    pub gamma: f64,
    /// DIFFERENT says that the mean distance is at least this; below 1.
    pub delta_star: f64,
    /// No SAME before this many queries.
    pub minimum: u32,
    /// UNDECIDED after this many queries.
    pub maximum: u32,
}

/// Why numbers are not a mode.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ModeError {
    /// A name that no mode has.
    #[error("there is no mode {found:?}: expected quick, audit or extended")]
    Unknown {
        /// The name.
        found: String,
    },
    /// Other numbers under the name of a mode of the table.
    #[error("mode {name:?} has other numbers than the mode of that name: give it another name")]
    NotTheNamed {
        /// The name.
        name: String,
    },
    /// An empty name.
    #[error("a mode needs a name")]
    Nameless,
    /// Not a probability of error, or one that nobody wants.
    #[error("alpha is {found}: expected more than 0 and at most 0.25")]
    Alpha {
        /// The number.
        found: f64,
    },
    /// Thresholds out of order.
    #[error("gamma is {gamma} and delta* is {delta_star}: expected 0 < gamma <= delta* < 1")]
    Thresholds {
        /// For SAME.
        gamma: f64,
        /// For DIFFERENT.
        delta_star: f64,
    },
    /// No query, or a minimum above the maximum.
    #[error("the numbers of queries are {minimum} to {maximum}: expected 1 <= minimum <= maximum")]
    Queries {
        /// At least.
        minimum: u32,
        /// At most.
        maximum: u32,
    },
    /// SAME can never happen.
    #[error(
        "{maximum} queries can never end in SAME: no valid test needs fewer than {floor} at alpha {alpha}, gamma {gamma}"
    )]
    BelowFloor {
        /// At most this many queries.
        maximum: u32,
        /// The least that any valid test needs.
        floor: u32,
        /// Error probability.
        alpha: f64,
        /// Threshold.
        gamma: f64,
    },
}

/// The largest error probability of a mode.
const MAXIMUM_ALPHA: f64 = 0.25;

/// The least number of queries with which any valid test can say SAME: `ln(1/alpha) / ln((1 - best)/(1 - gamma))`,
/// rounded up.
///
/// `best` is the score of identical behaviour, below `gamma`. With `best = 0`: a candidate whose score is 1 with
/// probability gamma and otherwise 0 has mean gamma and shows only zeros for n queries with probability
/// `(1 - gamma)^n`; a test that says SAME after n zeros is wrong that often. With another `best` the same holds of
/// scores 1 and `best`.
pub fn floor(alpha: f64, gamma: f64, best: f64) -> u32 {
    let queries = -libm::log(alpha) / libm::log((1.0 - best) / (1.0 - gamma));
    if queries >= f64::from(u32::MAX) { u32::MAX } else { libm::ceil(queries) as u32 }
}

impl Mode {
    /// For a quick look: alpha 0.025, gamma 0.15, delta* 0.20, 10 to 120 queries.
    pub fn quick() -> Self {
        Self::of("quick", [0.025, 0.15, 0.20], [10, 120])
    }

    /// For an audit: alpha 0.01, gamma 0.10, delta* 0.12, 30 to 400 queries.
    pub fn audit() -> Self {
        Self::of("audit", [0.01, 0.10, 0.12], [30, 400])
    }

    /// For small differences: alpha 0.001, gamma 0.05, delta* 0.06, 50 to 800 queries.
    pub fn extended() -> Self {
        Self::of("extended", [0.001, 0.05, 0.06], [50, 800])
    }

    /// The three modes of the table.
    pub fn all() -> [Self; 3] {
        [Self::quick(), Self::audit(), Self::extended()]
    }

    /// The mode of this name.
    ///
    /// # Errors
    /// No mode has it.
    pub fn named(name: &str) -> Result<Self, ModeError> {
        let found = Self::all().into_iter().find(|mode| mode.name() == name);
        found.ok_or_else(|| ModeError::Unknown { found: name.to_owned() })
    }

    /// A mode of other numbers.
    ///
    /// # Errors
    /// Numbers that are no mode, a mode that can never say SAME, or the name of a mode of the table with other
    /// numbers than it has.
    pub fn custom(parts: ModeParts) -> Result<Self, ModeError> {
        if parts.name.is_empty() {
            return Err(ModeError::Nameless);
        }
        if let Ok(named) = Self::named(&parts.name)
            && named.parts != parts
        {
            return Err(ModeError::NotTheNamed { name: parts.name });
        }
        let ModeParts { alpha, gamma, delta_star, minimum, maximum, .. } = parts;
        if !(alpha > 0.0 && alpha <= MAXIMUM_ALPHA) {
            return Err(ModeError::Alpha { found: alpha });
        }
        if !(gamma > 0.0 && gamma <= delta_star && delta_star < 1.0) {
            return Err(ModeError::Thresholds { gamma, delta_star });
        }
        if minimum == 0 || minimum > maximum {
            return Err(ModeError::Queries { minimum, maximum });
        }
        let mode = Self { parts };
        let floor = mode.floor();
        if maximum < floor {
            return Err(ModeError::BelowFloor { maximum, floor, alpha, gamma });
        }
        Ok(mode)
    }

    fn of(name: &str, [alpha, gamma, delta_star]: [f64; 3], [minimum, maximum]: [u32; 2]) -> Self {
        Self { parts: ModeParts { name: name.to_owned(), alpha, gamma, delta_star, minimum, maximum } }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.parts.name
    }

    /// The probability of a false SAME, and of a false DIFFERENT, at most.
    pub fn alpha(&self) -> f64 {
        self.parts.alpha
    }

    /// SAME says that the mean distance is at most this.
    pub fn gamma(&self) -> f64 {
        self.parts.gamma
    }

    /// DIFFERENT says that the mean distance is at least this.
    pub fn delta_star(&self) -> f64 {
        self.parts.delta_star
    }

    /// No SAME before this many queries.
    pub fn minimum(&self) -> u32 {
        self.parts.minimum
    }

    /// UNDECIDED after this many queries.
    pub fn maximum(&self) -> u32 {
        self.parts.maximum
    }

    /// The least number of queries with which any valid test can say SAME, for one candidate and distances.
    pub fn floor(&self) -> u32 {
        floor(self.parts.alpha, self.parts.gamma, 0.0)
    }
}

impl TryFrom<ModeParts> for Mode {
    type Error = ModeError;

    fn try_from(parts: ModeParts) -> Result<Self, ModeError> {
        Self::custom(parts)
    }
}

impl From<Mode> for ModeParts {
    fn from(mode: Mode) -> Self {
        mode.parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_holds() {
        assert_eq!(Mode::all().map(|mode| mode.floor()), [23, 44, 135]);
        for mode in Mode::all() {
            assert_eq!(Mode::custom(mode.clone().into()), Ok(mode));
        }
    }

    #[test]
    fn a_mode_below_its_floor_does_not_exist_and_cannot_be_read() {
        let below = ModeParts { name: "mine".into(), maximum: 43, ..Mode::audit().into() };
        let error = Mode::custom(below.clone());
        assert!(matches!(error, Err(ModeError::BelowFloor { floor: 44, maximum: 43, .. })), "{error:?}");
        let text = serde_json::to_string(&below).unwrap();
        let message = serde_json::from_str::<Mode>(&text).unwrap_err().to_string();
        assert!(message.contains("44"), "{message}");
    }

    #[test]
    fn a_mode_does_not_silently_become_another() {
        let other = ModeParts { alpha: 0.2, ..Mode::audit().into() };
        assert_eq!(Mode::custom(other), Err(ModeError::NotTheNamed { name: "audit".into() }));
        assert!(matches!(Mode::named("fast"), Err(ModeError::Unknown { .. })));
    }

    #[test]
    fn numbers_that_are_no_mode_are_refused() {
        let parts = |change: fn(&mut ModeParts)| {
            let mut parts = ModeParts { name: "mine".into(), ..Mode::audit().into() };
            change(&mut parts);
            Mode::custom(parts)
        };
        assert!(parts(|_| {}).is_ok());
        assert!(matches!(parts(|p| p.alpha = f64::NAN), Err(ModeError::Alpha { .. })));
        assert!(matches!(parts(|p| p.alpha = 0.0), Err(ModeError::Alpha { .. })));
        assert!(matches!(parts(|p| p.gamma = 0.2), Err(ModeError::Thresholds { .. })));
        assert!(matches!(parts(|p| p.delta_star = 1.0), Err(ModeError::Thresholds { .. })));
        assert!(matches!(parts(|p| p.gamma = f64::NAN), Err(ModeError::Thresholds { .. })));
        assert!(matches!(parts(|p| p.minimum = 0), Err(ModeError::Queries { .. })));
        assert!(matches!(parts(|p| p.minimum = 401), Err(ModeError::Queries { .. })));
        assert!(matches!(parts(|p| p.name.clear()), Err(ModeError::Nameless)));
    }
}
