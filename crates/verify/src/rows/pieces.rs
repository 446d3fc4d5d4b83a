//! Where the entries of a matrix stand in committed rows.
//!
//! Commitments are to rows of at most L entries, L a power of two. A matrix is written row by row and cut into *pieces* of
//! `2^j` whole rows each, j the largest number with which a piece fits into L entries; no piece is longer than the matrix needs.
//! So a piece of a matrix of c columns has `2^j c` entries, entry `(i, k)` of the matrix is number `(i mod 2^j) c + k` of piece
//! `floor(i / 2^j)`, and the last piece may be shorter. As j is a number of whole bits of i, a claim on the extension of the
//! matrix at a point of its rows and columns is a claim on a combination of its pieces.

use lorica_relation::program::Shape;

/// A matrix cut into pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pieces {
    shape: Shape,
    log_rows: usize,
}

impl Pieces {
    /// Cuts a matrix into pieces of at most `row_length` entries. `None` if a single row of the matrix has more, or if the
    /// matrix is empty.
    pub fn of(shape: Shape, row_length: usize) -> Option<Self> {
        let rows = row_length.checked_div(shape.columns)?.min(shape.rows.checked_next_power_of_two()?);
        if shape.rows == 0 {
            return None;
        }
        Some(Self { shape, log_rows: usize::try_from(rows.checked_ilog2()?).ok()? })
    }

    /// The shape of the matrix.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// j: a piece has `2^j` rows of the matrix.
    pub fn log_rows(&self) -> usize {
        self.log_rows
    }

    /// The number of pieces.
    pub fn count(&self) -> usize {
        self.shape.rows.div_ceil(1 << self.log_rows)
    }

    /// The number of entries of a piece; `None` for a number that there is not.
    pub fn length(&self, piece: usize) -> Option<usize> {
        let first = piece.checked_mul(1 << self.log_rows)?;
        let rows = self.shape.rows.checked_sub(first)?.min(1 << self.log_rows);
        (rows > 0).then_some(rows)?.checked_mul(self.shape.columns)
    }

    /// The number of entries of every piece, in order.
    pub fn lengths(&self) -> impl Iterator<Item = usize> {
        let pieces = *self;
        (0..self.count()).filter_map(move |piece| pieces.length(piece))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(rows: usize, columns: usize, row_length: usize) -> Option<Pieces> {
        Pieces::of(Shape { rows, columns }, row_length)
    }

    #[test]
    fn pieces_hold_every_row_once_and_are_as_long_as_they_can_be() {
        for row_length in [1, 2, 8, 16] {
            for (rows, columns) in (1..20).flat_map(|rows| (1..20).map(move |columns| (rows, columns))) {
                let Some(pieces) = of(rows, columns, row_length) else {
                    assert!(columns > row_length, "{rows} x {columns} in {row_length}");
                    continue;
                };
                let whole = 1 << pieces.log_rows();
                let lengths: Vec<_> = pieces.lengths().collect();
                assert_eq!(lengths.len(), pieces.count());
                assert_eq!(lengths.iter().sum::<usize>(), rows * columns);
                let (last, others) = lengths.split_last().unwrap();
                assert!(others.iter().all(|length| *length == whole * columns) && *last <= whole * columns);
                assert!(whole * columns <= row_length && whole <= rows.next_power_of_two());
                assert!(2 * whole * columns > row_length || 2 * whole > rows.next_power_of_two());
                assert_eq!(pieces.length(pieces.count()), None);
            }
        }
    }

    #[test]
    fn examples() {
        let pieces = of(10, 784, 4096).unwrap();
        assert_eq!((pieces.log_rows(), pieces.count()), (2, 3));
        assert_eq!(pieces.lengths().collect::<Vec<_>>(), [3136, 3136, 1568]);
        let bias = of(1, 10, 4096).unwrap();
        assert_eq!((bias.log_rows(), bias.count(), bias.length(0)), (0, 1, Some(10)));
        let column = of(1000, 1, 4096).unwrap();
        assert_eq!((column.log_rows(), column.count(), column.length(0)), (10, 1, Some(1000)));
    }

    #[test]
    fn what_cannot_be_cut_is_refused() {
        for (rows, columns, row_length) in
            [(1, 5, 4), (0, 1, 4), (1, 0, 4), (1, 1, 0), (usize::MAX, 1, 4), (1, usize::MAX, 4)]
        {
            assert_eq!(of(rows, columns, row_length), None, "{rows} x {columns} in {row_length}");
        }
        let longest = of(1 << 20, 65_536, 65_536).unwrap();
        assert_eq!((longest.count(), longest.length(usize::MAX)), (1 << 20, None));
    }
}
