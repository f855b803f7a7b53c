#![doc = include_str!("../README.md")]

mod cgroup;
mod containment;
mod environment;
mod hidden_variables;
mod line_splitter;
mod live_line;
mod output;
mod output_meter;
mod pipe;
mod process_tree;
mod stop_requests;
mod supervised;
mod supervisor;
mod surroundings;

pub use self::cgroup::{Cgroup, PoolCgroup, clear as clear_cgroup};
pub use self::containment::{Containment, ContainmentMode};
pub use self::environment::Environment;
pub use self::hidden_variables::{hide_variables, secret_variable, secret_variables};
pub use self::line_splitter::{ESCAPE, LineSplitter, Part};
pub use self::live_line::LiveLine;
pub use self::output::{OutputPipes, OutputSink};
pub use self::output_meter::OutputMeter;
pub use self::pipe::Pipe;
pub use self::process_tree::{COOKIE, ProcessTree, Usage};
pub use self::stop_requests::{StopRequest, StopRequests};
pub use self::supervised::{Ended, Launch, Supervised, Supervision};
pub use self::supervisor::supervise_if_asked;
pub use self::surroundings::Surroundings;
