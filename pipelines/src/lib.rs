//! Pipelines in YAML (`weir check`, `weir apply`, `weir run`): a file of resources, sources, rules, sinks and tests.
//!
//! - [`load`] reads a file: every problem with file, line and column, also inside an SQL block.
//! - [`check`] plans every rule, validates every setting and runs the tests, without a server.
//! - [`Pipeline::objects`] gives what a server must hold; [`diff`] what applying it would change.
//!
//! Invariants:
//! - This room runs nothing and stores nothing; it knows no DataFusion, no HTTP and no concrete system.
//! - Variables are filled in inside parsed scalars, so they cannot change the shape of the file; secrets only through
//!   `{env: …}` and `{file: …}` in secret settings.
//! - Ids come from names: the same file gives the same ids.

mod changes;
mod check;
mod env;
mod from;
mod load;
mod pipeline;
mod places;
mod problem;
mod testing;
mod text;
mod yaml;

pub use changes::{Change, Changes, Objects, diff};
pub use check::{Report, check};
pub use env::{Absent, Environment, ProcessEnvironment};
pub use load::{Options, load, load_file};
pub use pipeline::{Expect, Input, Pipeline, Resource, Rule, Sink, Source, Test};
pub use problem::{Place, Problem, Severity};
pub use testing::{Failure, TestReport};
pub use yaml::FILE_BYTES_MAX;
