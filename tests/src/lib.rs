//! End-to-end tests of the whole binary; the tests themselves are under `tests/tests`.
