//! The one linear form that holds all constraints of a proof.
//!
//! What is opened is `u = (w || theta^j slots of block j)`: a public combination w of committed rows, with the power
//! `theta^0`, and all slots. Constraints are `<w, eq> = rows` and any number of affine forms in slots that are zero.

use ark_ff::{Field, Zero};
use lorica_algebra::Scalar;

use crate::form::{AffineForm, Slot};

/// What has to hold of the opened vector.
#[derive(Debug, Clone)]
pub struct Constraints {
    /// `<w, eq>` equals this form.
    pub rows: AffineForm,
    /// These forms are zero.
    pub zeros: Vec<AffineForm>,
}

/// One linear constraint on the opened vector.
#[derive(Debug, Clone)]
pub struct CollapsedForm {
    /// The coefficients, rows first.
    pub form: Vec<Scalar>,
    /// The value the form must have.
    pub value: Scalar,
}

impl Constraints {
    /// Collapses all constraints: that of the rows with weight 1, the zeros with `mu, mu^2, ..`.
    ///
    /// `blocks` gives the number of slots of each scratch commitment, in the order of sending. The coefficients on the
    /// j-th commitment's block carry `theta^-j`, against the `theta^j` with which the commitment enters. Whatever a
    /// commitment holds outside its own block, or the rows hold on scratch bases, is then multiplied by a power of theta
    /// other than zero and cannot stand in for anything.
    ///
    /// `None` if theta is zero or a form names a slot that no block has.
    pub fn collapse(
        &self,
        blocks: impl Iterator<Item = usize> + Clone,
        eq: &[Scalar],
        mu: Scalar,
        theta: Scalar,
    ) -> Option<CollapsedForm> {
        let count = blocks.clone().fold(0usize, usize::saturating_add);
        let mut slots = vec![Scalar::zero(); count];
        let mut value = self.rows.constant;
        let weights = std::iter::once(-Scalar::from(1u8)).chain(powers(mu));
        for (form, weight) in std::iter::once(&self.rows).chain(&self.zeros).zip(weights) {
            for (Slot(slot), coefficient) in &form.terms {
                *slots.get_mut(*slot)? += weight * coefficient;
            }
        }
        for (form, weight) in self.zeros.iter().zip(powers(mu)) {
            value -= weight * form.constant;
        }
        let separators =
            blocks.zip(powers(theta.inverse()?)).flat_map(|(size, power)| std::iter::repeat_n(power, size));
        let scratch = slots.iter().zip(separators).map(|(slot, power)| *slot * power);
        Some(CollapsedForm { form: eq.iter().copied().chain(scratch).collect(), value })
    }
}

/// `base, base^2, ...`: the factors of the scratch commitments in the order of sending.
pub fn powers(base: Scalar) -> impl Iterator<Item = Scalar> {
    std::iter::successors(Some(base), move |power| Some(*power * base))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lorica_algebra::multilinear::inner_product;

    #[test]
    fn the_form_has_its_value_exactly_if_all_constraints_hold() {
        let [a, b, c, mu, theta] = [3u64, 5, 15, 77, 1009].map(Scalar::from);
        let eq = [2u64, 9].map(Scalar::from);
        let rows = [4u64, 6].map(Scalar::from);
        // Rows: 2 * 4 + 9 * 6 = 62 = 17 c - 193. Zeros: 5 a - c and 1 + b - 2 a.
        let form = |constant: i64, terms: &[(usize, i64)]| AffineForm {
            constant: constant.into(),
            terms: terms.iter().map(|(slot, factor)| (Slot(*slot), Scalar::from(*factor))).collect(),
        };
        let constraints = Constraints {
            rows: form(-193, &[(2, 17)]),
            zeros: vec![form(0, &[(0, 5), (2, -1)]), form(1, &[(0, -2), (1, 1)])],
        };
        let blocks = [2usize, 1].into_iter();
        let holds = |slots: [Scalar; 3]| {
            let collapsed = constraints.collapse(blocks.clone(), &eq, mu, theta).unwrap();
            let opened = [theta * slots[0], theta * slots[1], theta * theta * slots[2]];
            inner_product(&[rows, [opened[0], opened[1]]].concat(), &collapsed.form[..4])
                + opened[2] * collapsed.form[4]
                == collapsed.value
        };
        assert!(holds([a, b, c]));
        let one = Scalar::from(1u8);
        assert!(!holds([a + one, b, c]) && !holds([a, b + one, c]) && !holds([a, b, c + one]));
        assert!(constraints.collapse([2usize].into_iter(), &eq, mu, theta).is_none());
        assert!(constraints.collapse(blocks, &eq, mu, Scalar::zero()).is_none());
    }
}
