//! Texts that begin alike: what they share is computed once.
//!
//! In a causal decoder a token's hidden state depends on the tokens before it and on nothing else. So the tokens of
//! several texts need one row for each distinct beginning, not one for each token. Attention alone sees whole texts:
//! rows are copied out for it, and gathered again after it.

use std::collections::HashMap;

use candle_core::{Device, Tensor};

/// Which rows stand for which tokens of several texts, one after the other.
#[derive(Debug, Clone)]
pub(crate) struct Beginnings {
    /// For each token its row.
    rows: Vec<u32>,
    /// For each row the first token it stands for.
    first: Vec<u32>,
}

impl Beginnings {
    /// Finds the distinct beginnings of texts.
    pub(crate) fn of<'a>(texts: impl IntoIterator<Item = &'a [u32]>) -> Self {
        // A beginning is one that is a token shorter, and its last token.
        let mut known: HashMap<(Option<u32>, u32), u32> = HashMap::new();
        let mut all = Self { rows: Vec::new(), first: Vec::new() };
        for text in texts {
            let mut before = None;
            for &token in text {
                let place = all.rows.len() as u32;
                let first = &mut all.first;
                let row = *known.entry((before, token)).or_insert_with(|| {
                    first.push(place);
                    first.len() as u32 - 1
                });
                all.rows.push(row);
                before = Some(row);
            }
        }
        all
    }

    /// For each row the first token it stands for, as a place among all tokens.
    pub(crate) fn first(&self) -> &[u32] {
        &self.first
    }

    /// The row of the token at a place among all tokens.
    pub(crate) fn row(&self, place: usize) -> Option<u32> {
        self.rows.get(place).copied()
    }

    /// What a pass needs to know of it; nothing where every token has a row of its own.
    pub(crate) fn sharing(&self) -> candle_core::Result<Option<Sharing>> {
        if self.rows.len() == self.first.len() {
            return Ok(None);
        }
        Ok(Some(Sharing {
            rows: Tensor::new(self.rows.as_slice(), &Device::Cpu)?,
            first: Tensor::new(self.first.as_slice(), &Device::Cpu)?,
        }))
    }
}

/// [`Beginnings`] where rows stand for several tokens, as indices of tensors.
#[derive(Debug, Clone)]
pub(crate) struct Sharing {
    rows: Tensor,
    first: Tensor,
}

impl Sharing {
    /// Copies rows out: one for each of `count` tokens from `start` on.
    pub(crate) fn spread(&self, x: &Tensor, start: usize, count: usize) -> candle_core::Result<Tensor> {
        x.index_select(&self.rows.narrow(0, start, count)?, 0)
    }

    /// Gathers what is one row for each token into one for each beginning.
    pub(crate) fn gather(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        x.index_select(&self.first, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_is_its_tokens_and_their_order() {
        let texts: [&[u32]; 5] = [&[7], &[7, 8], &[8, 7], &[7, 8, 9], &[7, 7]];
        let all = Beginnings::of(texts);
        // 7 | 7, 78 | 8, 87 | 7, 78, 789 | 7, 77
        assert_eq!(all.rows, [0, 0, 1, 2, 3, 0, 1, 4, 0, 5]);
        assert_eq!(all.first(), [0, 2, 3, 4, 7, 9]);
        assert_eq!((all.row(6), all.row(10)), (Some(1), None));
    }

    #[test]
    fn what_is_spread_is_gathered_again() {
        let texts: [&[u32]; 3] = [&[1, 2], &[1, 3], &[1, 2]];
        let sharing = Beginnings::of(texts).sharing().unwrap().unwrap();
        let x = Tensor::new(&[[10f32], [20.0], [30.0]], &Device::Cpu).unwrap();
        let tokens = sharing.spread(&x, 0, 6).unwrap();
        assert_eq!(tokens.to_vec2::<f32>().unwrap().concat(), [10.0, 20.0, 10.0, 30.0, 10.0, 20.0]);
        assert_eq!(sharing.spread(&x, 3, 2).unwrap().to_vec2::<f32>().unwrap().concat(), [30.0, 10.0]);
        assert_eq!(sharing.gather(&tokens).unwrap().to_vec2::<f32>().unwrap(), x.to_vec2::<f32>().unwrap());
        assert!(Beginnings::of([&[1u32, 2, 1][..]]).sharing().unwrap().is_none());
    }
}
