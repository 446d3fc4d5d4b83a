//! Large tables of scalars in huge pages.
//!
//! A table of 2^19 scalars is 16 MiB: 4096 ordinary pages, whose first touch costs more time than to fill them.

use std::alloc::{Layout, alloc_zeroed, handle_alloc_error};

use crate::Scalar;

/// `len` zeros, in huge pages where the system has them to give.
///
/// The zeros are the system's: nothing is written here, so the first write to a page is that of whoever fills the table.
///
/// # Panics
/// If the table would be larger than any allocation can be.
pub fn zeroed_table(len: usize) -> Vec<Scalar> {
    if len == 0 {
        return Vec::new();
    }
    let Ok(layout) = Layout::array::<Scalar>(len) else { panic!("a table of {len} scalars is too large") };
    // SAFETY: the layout is not of size zero, because `len` and the size of a scalar are not.
    let start = unsafe { alloc_zeroed(layout) };
    if start.is_null() {
        handle_alloc_error(layout);
    }
    #[cfg(target_os = "linux")]
    linux::advise_huge_pages(start, layout.size());
    // SAFETY: `start` was allocated by the global allocator with the layout of `len` scalars, and a scalar whose bytes are all
    // zero is valid: it is four limbs and nothing else.
    unsafe { Vec::from_raw_parts(start.cast::<Scalar>(), len, len) }
}

/// Overwrites secrets with zeros, as fast as memory can be filled. The compiler must take the zeros for used.
pub fn wipe(values: &mut [Scalar]) {
    values.fill(Scalar::new_unchecked(ark_ff::BigInt([0; 4])));
    std::hint::black_box(values);
}

#[cfg(target_os = "linux")]
mod linux {
    use rustix::mm::{Advice, madvise};

    /// The size of a huge page on x86-64, and of the common one on AArch64.
    const HUGE_PAGE: usize = 1 << 21;

    /// Asks for huge pages wherever an allocation covers one. It is advice: a refusal changes no result, and there is nothing
    /// to tell a user about it.
    pub(super) fn advise_huge_pages(start: *mut u8, size: usize) {
        let before = start.align_offset(HUGE_PAGE);
        let length = size.saturating_sub(before) / HUGE_PAGE * HUGE_PAGE;
        if length > 0 {
            // SAFETY: the pages from `before` on lie inside the caller's own allocation, and this advice leaves their contents
            // as they are.
            let _ = unsafe { madvise(start.wrapping_add(before).cast(), length, Advice::LinuxHugepage) };
        }
    }
}

#[cfg(test)]
mod tests {
    use ark_ff::AdditiveGroup;

    use super::*;

    #[test]
    fn tables_of_every_size_are_zeros() {
        for len in [0, 1, 1000, 1 << 16, (1 << 17) + 3] {
            let table = zeroed_table(len);
            assert_eq!(table.len(), len);
            assert!(table.iter().all(|entry| *entry == Scalar::ZERO));
        }
    }
}
