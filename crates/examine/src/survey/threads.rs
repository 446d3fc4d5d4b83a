//! Work on many items at once, on threads of its own.
//!
//! Not on a pool's threads: a model waits for its own pool, and a thread of a pool that waits takes up the next item,
//! and waits within that, until its stack ends.

use std::{
    num::NonZeroUsize,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// The results in the order of the items; of several failures that of the first item.
///
/// # Errors
/// The first failure. Items that were not begun before it are left out.
pub(super) fn concurrently<T, R, E>(
    items: &[T],
    work: impl Fn(usize, &T) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E>
where
    T: Sync,
    R: Send,
    E: Send,
{
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::with_capacity(items.len()));
    thread::scope(|scope| {
        for _ in 0..threads.min(items.len()) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(index) else { return };
                    let result = work(index, item);
                    if result.is_err() {
                        next.store(items.len(), Ordering::Relaxed);
                    }
                    if let Ok(mut results) = results.lock() {
                        results.push((index, result));
                    }
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::concurrently;

    #[test]
    fn results_stand_in_the_order_of_their_items() {
        let items: Vec<u32> = (0..100).collect();
        let squares: Result<Vec<u32>, ()> = concurrently(&items, |_, item| Ok(item * item));
        assert_eq!(squares, Ok(items.iter().map(|item| item * item).collect()));
    }

    #[test]
    fn a_failure_is_the_answer_for_all() {
        let items: Vec<u32> = (0..100).collect();
        let failed = concurrently(&items, |_, item| if *item == 7 { Err(*item) } else { Ok(()) });
        assert_eq!(failed, Err(7));
    }

    #[test]
    fn waiting_for_a_pool_does_not_nest() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a pool");
        let items = [(); 64];
        let depth: Result<Vec<usize>, ()> = concurrently(&items, |_, ()| {
            thread_local!(static DEPTH: std::cell::Cell<usize> = const { std::cell::Cell::new(0) });
            let depth = DEPTH.get();
            DEPTH.set(depth + 1);
            pool.install(|| std::hint::black_box(()));
            DEPTH.set(depth);
            Ok(depth)
        });
        assert_eq!(depth, Ok(vec![0; 64]));
    }
}
