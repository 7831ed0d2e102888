//! Where the real services of a test run are: the variables that `cargo xtask test` sets.

/// The value of a service variable such as `WEIR_TEST_PG_URL`.
///
/// A missing service is never passed over in silence: in CI it fails the test, elsewhere it is printed as missing and
/// `None` is returned.
pub fn service(variable: &str) -> Option<String> {
    match std::env::var(variable) {
        Ok(value) if !value.is_empty() => Some(value),
        _ => {
            assert!(
                std::env::var_os("CI").is_none(),
                "CI needs the service behind {variable}; `cargo xtask test` starts it"
            );
            note_missing(variable);
            None
        }
    }
}

#[expect(clippy::print_stderr, reason = "the point is to print that something was not tested")]
fn note_missing(variable: &str) {
    eprintln!("missing service: {variable} is not set, this test did not run against the real service");
}
