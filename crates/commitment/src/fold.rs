//! The shape of the trees.
//!
//! A row of nodes is joined in pairs from the left; a last node without a partner moves up as it is. That is the tree of
//! RFC 6962: over n leaves the left part of every node has the largest power of two below n. A tree that joins a last node
//! with itself instead has one root for several lists.

use rayon::prelude::*;

/// Below this many pairs a row is not spread over threads.
const LEAST_SPREAD: usize = 64;

/// Folds leaves to their root; `None` without leaves. `start` makes what `node` needs, once for each piece of work.
///
/// # Errors
/// What `node` says.
pub fn fold<T, S, E>(
    leaves: Vec<T>,
    start: impl Fn() -> S + Sync,
    node: impl Fn(&mut S, &T, &T) -> Result<T, E> + Sync,
) -> Result<Option<T>, E>
where
    T: Copy + Send + Sync,
    E: Send,
{
    let mut row = leaves;
    while row.len() > 1 {
        let (pairs, odd) = row.as_chunks::<2>();
        let mut next: Vec<T> = pairs
            .par_iter()
            .with_min_len(LEAST_SPREAD)
            .map_init(&start, |state, [left, right]| node(state, left, right))
            .collect::<Result<_, E>>()?;
        next.extend(odd);
        row = next;
    }
    Ok(row.first().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shape_is_that_of_rfc_6962() {
        // A node as the list of leaves below it, in brackets: joined from the left, odd ones move up.
        fn shape(leaves: u32) -> String {
            let names: Vec<String> = (0..leaves).map(|leaf| leaf.to_string()).collect();
            let indices: Vec<usize> = (0..names.len()).collect();
            let nodes = std::sync::Mutex::new(names);
            let join = |_: &mut (), left: &usize, right: &usize| {
                let mut nodes = nodes.lock().unwrap();
                let node = format!("({} {})", nodes[*left], nodes[*right]);
                nodes.push(node);
                Ok::<_, std::convert::Infallible>(nodes.len() - 1)
            };
            let Ok(root) = fold(indices, || (), join);
            root.map(|root| nodes.lock().unwrap()[root].clone()).unwrap_or_default()
        }
        assert_eq!(shape(0), "");
        assert_eq!(shape(1), "0");
        assert_eq!(shape(3), "((0 1) 2)");
        assert_eq!(shape(6), "(((0 1) (2 3)) (4 5))");
        assert_eq!(shape(7), "(((0 1) (2 3)) ((4 5) 6))");
    }
}
