#![no_main]

use libfuzzer_sys::fuzz_target;
use lorica_testkit::fuzz;

fuzz_target!(|bytes: &[u8]| {
    fuzz::RUN_BATCHES.run(bytes);
});
