#![doc = include_str!("../README.md")]

mod gate;
mod miss;
mod place;
mod program;
mod random;
mod report;
mod rules;
mod scene;
mod scenes;
mod sealing;
mod stage;
mod suite;

pub use self::report::{Report, Verdict};
pub use self::scene::{Scene, scenes};
pub use self::suite::{Frames, Suite};
