//! The data set of several tests.

use std::path::Path;

use lorica_train::{DataSet, Table};

/// Every fifth row is for testing.
const TEST_EVERY: usize = 5;

/// Handwritten digits, one part to learn from and one to test with.
pub(crate) struct Digits {
    pub(crate) training: DataSet,
    #[allow(dead_code, reason = "not every test uses it")]
    pub(crate) test: DataSet,
}

impl Digits {
    pub(crate) fn load(input_bits: u32, target_bits: u32) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/digits/digits.csv");
        let table = Table::read_csv(&path).expect("the data set is there").scale_inputs(1.0 / 16.0);
        let data = table.quantise(input_bits, target_bits, 10).expect("pixels fit");
        assert_eq!(data.len(), 1797);
        let part = |is_test: bool| {
            let rows: Vec<usize> =
                (0..data.len()).filter(|row| (row % TEST_EVERY == TEST_EVERY - 1) == is_test).collect();
            let samples = data.rows(&rows).expect("rows of the data set");
            DataSet::new(data.inputs(), data.targets(), samples.to_vec()).expect("whole rows")
        };
        Self { training: part(false), test: part(true) }
    }
}
