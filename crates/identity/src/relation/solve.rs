//! The fit of a multinomial logistic regression with a ridge: a strictly convex problem, solved by steps that a fixed
//! upper bound of the curvature makes safe.

/// Steps at most; the bound makes each step lower the objective, acceleration makes a few hundred enough.
const STEPS: usize = 50_000;
/// The fit has ended when no coefficient moves further than this.
const TOLERANCE: f64 = 1e-9;

/// The data of a fit.
pub(super) struct Problem {
    /// One row for each example; the first entry is 1 and belongs to the intercept.
    pub(super) rows: Vec<Vec<f64>>,
    /// The class of each example.
    pub(super) classes: Vec<usize>,
    /// The weight of each example.
    pub(super) weights: Vec<f64>,
    /// How many classes there are.
    pub(super) count: usize,
    /// The precision of the normal prior of all coefficients but intercepts.
    pub(super) ridge: f64,
}

/// One list of coefficients for each class.
type Coefficients = Vec<Vec<f64>>;

/// The probabilities of the classes for one row: the softmax of the products with each class's coefficients.
pub(super) fn probabilities(coefficients: &[Vec<f64>], row: &[f64]) -> Vec<f64> {
    let scores: Vec<f64> = coefficients.iter().map(|class| product(class, row)).collect();
    let highest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = scores.iter().map(|score| libm::exp(score - highest)).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

impl Problem {
    /// The coefficients with the highest posterior density; [`None`] if the steps did not come to rest.
    ///
    /// The curvature of the loss is at most `X' W X / 2` for each class (D. Böhning, "Multinomial logistic regression
    /// algorithm", 1992), so a step by the inverse of that bound plus the ridge never overshoots. Steps are
    /// accelerated (Y. Nesterov, 1983) and the acceleration starts anew where it points uphill (B. O'Donoghue,
    /// E. Candès, 2015).
    pub(super) fn solve(&self) -> Option<Coefficients> {
        let size = self.rows.first()?.len();
        let bound = Cholesky::new(self.bound(size))?;
        let mut current = vec![vec![0.0; size]; self.count];
        let mut ahead = current.clone();
        let mut momentum: f64 = 1.0;
        for _ in 0..STEPS {
            let gradient = self.gradient(&ahead);
            let next: Coefficients = ahead
                .iter()
                .zip(&gradient)
                .map(|(class, slope)| difference(class, &bound.solve(slope)))
                .collect();
            let moved: Coefficients =
                next.iter().zip(&current).map(|(new, old)| difference(new, old)).collect();
            let stepped = next.iter().zip(&ahead).map(|(new, old)| largest(&difference(new, old)));
            if stepped.fold(0.0, f64::max) < TOLERANCE {
                return Some(next);
            }
            let uphill =
                gradient.iter().zip(&moved).map(|(slope, way)| product(slope, way)).sum::<f64>() > 0.0;
            let following =
                if uphill { 1.0 } else { f64::midpoint(1.0, (1.0 + 4.0 * momentum * momentum).sqrt()) };
            let keep = if uphill { 0.0 } else { (momentum - 1.0) / following };
            ahead = next
                .iter()
                .zip(&moved)
                .map(|(new, way)| new.iter().zip(way).map(|(a, b)| a + keep * b).collect())
                .collect();
            momentum = following;
            current = next;
        }
        None
    }

    fn bound(&self, size: usize) -> Vec<Vec<f64>> {
        let mut bound = vec![vec![0.0; size]; size];
        for (row, weight) in self.rows.iter().zip(&self.weights) {
            for (a, line) in row.iter().zip(&mut bound) {
                for (b, entry) in row.iter().zip(line) {
                    *entry += 0.5 * weight * a * b;
                }
            }
        }
        for (at, line) in bound.iter_mut().enumerate().skip(1) {
            if let Some(entry) = line.get_mut(at) {
                *entry += self.ridge;
            }
        }
        bound
    }

    fn gradient(&self, coefficients: &Coefficients) -> Coefficients {
        let mut gradient: Coefficients = coefficients
            .iter()
            .map(|class| {
                let penalised = class.iter().skip(1).map(|coefficient| self.ridge * coefficient);
                std::iter::once(0.0).chain(penalised).collect()
            })
            .collect();
        for ((row, truth), weight) in self.rows.iter().zip(&self.classes).zip(&self.weights) {
            let probabilities = probabilities(coefficients, row);
            for (class, (probability, slope)) in probabilities.iter().zip(&mut gradient).enumerate() {
                let excess = weight * (probability - if class == *truth { 1.0 } else { 0.0 });
                for (entry, x) in slope.iter_mut().zip(row) {
                    *entry += excess * x;
                }
            }
        }
        gradient
    }
}

fn product(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

fn difference(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(x, y)| x - y).collect()
}

fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |most, value| value.abs().max(most))
}

/// A symmetric positive definite matrix as the product of a lower triangle with its transpose.
struct Cholesky {
    /// The rows of the triangle: row `i` has `i + 1` entries.
    rows: Vec<Vec<f64>>,
}

impl Cholesky {
    /// [`None`] if the matrix is not positive definite.
    fn new(matrix: Vec<Vec<f64>>) -> Option<Self> {
        let mut rows: Vec<Vec<f64>> = Vec::with_capacity(matrix.len());
        for (place, line) in matrix.iter().enumerate() {
            let mut row: Vec<f64> = Vec::with_capacity(place + 1);
            for (above, entry) in rows.iter().zip(line) {
                row.push((entry - product(&row, above)) / above.last()?);
            }
            let rest = line.get(place)? - product(&row, &row);
            if rest.is_nan() || rest <= 0.0 {
                return None;
            }
            row.push(rest.sqrt());
            rows.push(row);
        }
        Some(Self { rows })
    }

    fn solve(&self, right: &[f64]) -> Vec<f64> {
        let mut forward: Vec<f64> = Vec::with_capacity(right.len());
        for (row, value) in self.rows.iter().zip(right) {
            let diagonal = row.last().copied().unwrap_or(1.0);
            forward.push((value - product(row, &forward)) / diagonal);
        }
        for (place, row) in self.rows.iter().enumerate().rev() {
            let (before, rest) = forward.split_at_mut(place);
            if let (Some(value), Some((diagonal, others))) = (rest.first_mut(), row.split_last()) {
                *value /= diagonal;
                for (entry, factor) in before.iter_mut().zip(others) {
                    *entry -= factor * *value;
                }
            }
        }
        forward
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn linear_equations_are_solved() {
        let matrix = vec![vec![4.0, 2.0, 1.0], vec![2.0, 5.0, 3.0], vec![1.0, 3.0, 6.0]];
        let solution = Cholesky::new(matrix.clone()).unwrap().solve(&[1.0, 2.0, 3.0]);
        for (line, right) in matrix.iter().zip([1.0, 2.0, 3.0]) {
            assert!((product(line, &solution) - right).abs() < 1e-12);
        }
        assert!(Cholesky::new(vec![vec![1.0, 2.0], vec![2.0, 1.0]]).is_none());
    }

    #[test]
    fn the_solution_has_no_slope_left() {
        let rows: Vec<Vec<f64>> = (0..30)
            .map(|i| vec![1.0, f64::from(i % 7) - 3.0, f64::from(i * i % 11) - 5.0, f64::from(i % 7) * 0.999])
            .collect();
        let problem = Problem {
            classes: (0..30).map(|i| (i * 5 + i / 7) % 3).collect(),
            weights: (0..30).map(|i| 0.5 + f64::from(i % 2)).collect(),
            rows,
            count: 3,
            ridge: 0.5,
        };
        let coefficients = problem.solve().unwrap();
        assert!(problem.gradient(&coefficients).iter().all(|slope| largest(slope) < 1e-5));
    }

    #[test]
    fn without_features_the_intercepts_give_the_shares() {
        let problem = Problem {
            rows: vec![vec![1.0]; 10],
            classes: vec![0, 0, 0, 0, 0, 0, 1, 1, 1, 2],
            weights: vec![1.0; 10],
            count: 3,
            ridge: 1.0,
        };
        let found = probabilities(&problem.solve().unwrap(), &[1.0]);
        for (probability, share) in found.iter().zip([0.6, 0.3, 0.1]) {
            assert!((probability - share).abs() < 1e-6, "{found:?}");
        }
    }
}
