//! What the commands say about themselves, word for word.

#[test]
fn help_texts() {
    trycmd::TestCases::new().case("tests/cmd/*.trycmd");
}
