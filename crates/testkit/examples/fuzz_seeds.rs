//! Writes the valid artefacts of every decoder to `fuzz/corpus`, where the fuzzer starts from.

use std::{fs, io, path::Path};

use lorica_testkit::fuzz::DECODERS;

fn main() -> io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    for decoder in DECODERS {
        let folder = corpus.join(decoder.name);
        fs::create_dir_all(&folder)?;
        for (index, seed) in decoder.seeds().iter().enumerate() {
            fs::write(folder.join(format!("valid-{index}")), seed)?;
        }
    }
    Ok(())
}
