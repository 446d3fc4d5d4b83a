//! A next-token distribution as far as a side tells it: some tokens with their probabilities, and a remainder.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::token::Token;

/// How far the probabilities may add up beyond 1: single-precision log-probabilities of a whole vocabulary.
const EXCESS: f64 = 1e-3;

/// What is known of a next-token distribution: the most probable tokens by content, and one symbol for the remainder.
///
/// Tokens whose content is not certain ([`Token::is_legible`]) are one symbol. Where a side tells every token of its
/// vocabulary, the remainder is 0 up to rounding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<(Token, f64)>", into = "Vec<(Token, f64)>")]
pub struct Distribution {
    /// As told: tokens with natural logarithms of their probabilities, most probable first.
    told: Vec<(Token, f64)>,
    /// Probabilities by content; [`None`] is the symbol of all tokens that are not legible.
    by_content: BTreeMap<Option<Token>, f64>,
}

/// Why numbers are not a distribution.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DistributionError {
    /// No token at all.
    #[error("no token has a log-probability")]
    Empty,
    /// NaN, an infinity, or a probability above 1.
    #[error("token {token} has log-probability {found}: expected a finite number, at most 0")]
    NotALogProbability {
        /// The token.
        token: Token,
        /// Its number.
        found: f64,
    },
    /// The same legible content twice.
    #[error("token {token} is there twice")]
    Twice {
        /// The token.
        token: Token,
    },
    /// Probabilities that add up to more than 1.
    #[error("the probabilities add up to {found}: expected at most 1")]
    TooMuch {
        /// Their sum.
        found: f64,
    },
}

impl Distribution {
    /// A distribution from tokens with the natural logarithms of their probabilities, in any order.
    ///
    /// # Errors
    /// No token; a number that is not a log-probability; a legible token twice; a sum above 1.001.
    pub fn new(mut told: Vec<(Token, f64)>) -> Result<Self, DistributionError> {
        if told.is_empty() {
            return Err(DistributionError::Empty);
        }
        // Before anything is added up: sums must not depend on the order in which a side told its tokens.
        told.sort_by(|(a, x), (b, y)| y.total_cmp(x).then_with(|| a.cmp(b)));
        let mut by_content = BTreeMap::new();
        let mut sum = 0.0;
        for (token, log_probability) in &told {
            if !log_probability.is_finite() || *log_probability > EXCESS {
                return Err(DistributionError::NotALogProbability {
                    token: token.clone(),
                    found: *log_probability,
                });
            }
            // The same bits on every machine: evidence is computed again elsewhere.
            let probability = libm::exp(*log_probability);
            sum += probability;
            if token.is_legible() {
                if by_content.insert(Some(token.clone()), probability).is_some() {
                    return Err(DistributionError::Twice { token: token.clone() });
                }
            } else {
                *by_content.entry(None).or_insert(0.0) += probability;
            }
        }
        if sum > 1.0 + EXCESS {
            return Err(DistributionError::TooMuch { found: sum });
        }
        Ok(Self { told, by_content })
    }

    /// The tokens as told, with natural logarithms of their probabilities, most probable first.
    pub fn told(&self) -> &[(Token, f64)] {
        &self.told
    }

    /// The most probable token.
    pub fn top(&self) -> Option<&Token> {
        self.told.first().map(|(token, _)| token)
    }

    /// The probability of all tokens that were not told, in `[0, 1]`.
    pub fn remainder(&self) -> f64 {
        (1.0 - self.by_content.values().sum::<f64>()).max(0.0)
    }

    /// The total variation distance between two told distributions, in `[0, 1]`: half the sum of absolute differences
    /// over all tokens that either side tells and the remainder. A token that a side does not tell has probability 0
    /// there, so the distance between the whole distributions differs by at most the larger remainder.
    pub fn total_variation(&self, other: &Self) -> f64 {
        let zero = 0.0;
        let ours = self
            .by_content
            .iter()
            .map(|(symbol, probability)| (probability - other.by_content.get(symbol).unwrap_or(&zero)).abs());
        let theirs = other
            .by_content
            .iter()
            .filter(|(symbol, _)| !self.by_content.contains_key(*symbol))
            .map(|(_, probability)| *probability);
        let sum = ours.chain(theirs).sum::<f64>() + (self.remainder() - other.remainder()).abs();
        (sum / 2.0).min(1.0)
    }
}

impl TryFrom<Vec<(Token, f64)>> for Distribution {
    type Error = DistributionError;

    fn try_from(told: Vec<(Token, f64)>) -> Result<Self, Self::Error> {
        Self::new(told)
    }
}

impl From<Distribution> for Vec<(Token, f64)> {
    fn from(distribution: Distribution) -> Self {
        distribution.told
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn of(entries: &[(&str, f64)]) -> Distribution {
        Distribution::new(entries.iter().map(|(t, p)| (Token::from(*t), p.ln())).collect()).unwrap()
    }

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-12
    }

    #[test]
    fn total_variation_by_hand() {
        let p = of(&[("a", 0.5), ("b", 0.3)]);
        let q = of(&[("a", 0.2), ("c", 0.7)]);
        // |.5-.2| + .3 + .7 + |.2-.1| = 1.4
        assert!(close(p.total_variation(&q), 0.7));
        assert!(close(q.total_variation(&p), 0.7));
        assert_eq!(p.total_variation(&p), 0.0);
        assert!(close(of(&[("a", 1.0)]).total_variation(&of(&[("b", 1.0)])), 1.0));
    }

    #[test]
    fn tokens_that_cannot_be_told_apart_are_one_symbol() {
        let local = Distribution::new(vec![
            (Token::new([0xc3]), 0.25_f64.ln()),
            (Token::new([0xe2, 0x82]), 0.25_f64.ln()),
            (Token::from("a"), 0.5_f64.ln()),
        ])
        .unwrap();
        let remote = of(&[("\u{fffd}", 0.5), ("a", 0.5)]);
        assert!(close(local.total_variation(&remote), 0.0));
    }

    /// Written down and read again, a distribution has the same bits: evidence is computed again from what was written.
    #[test]
    fn the_order_of_tokens_makes_no_difference_to_the_last_bit() {
        let illegible = |byte: u8, log: f64| (Token::new([0xff, byte]), log);
        let mut told: Vec<(Token, f64)> =
            (0..40).map(|i| illegible(i, -4.1 - f64::from(i * 7 % 40) / 9.0)).collect();
        let one = Distribution::new(told.clone()).unwrap();
        told.reverse();
        let other = Distribution::new(told).unwrap();
        let third = of(&[("a", 0.3)]);
        assert_eq!(one, other);
        assert_eq!(one.total_variation(&third).to_bits(), other.total_variation(&third).to_bits());
        let read: Distribution = serde_json::from_str(&serde_json::to_string(&one).unwrap()).unwrap();
        assert_eq!(read.total_variation(&third).to_bits(), one.total_variation(&third).to_bits());
    }

    #[test]
    fn what_is_no_distribution_is_refused() {
        let new = |entries: &[(&str, f64)]| {
            Distribution::new(entries.iter().map(|(t, p)| (Token::from(*t), *p)).collect())
        };
        assert_eq!(new(&[]), Err(DistributionError::Empty));
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.1] {
            assert!(matches!(new(&[("a", bad)]), Err(DistributionError::NotALogProbability { .. })), "{bad}");
        }
        assert!(matches!(new(&[("a", -1.0), ("a", -2.0)]), Err(DistributionError::Twice { .. })));
        assert!(matches!(new(&[("a", -0.1), ("b", -0.2)]), Err(DistributionError::TooMuch { .. })));
    }
}
