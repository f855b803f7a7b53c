//! The bounds of what a worker may say of its Python environments.

use crate::model::action::LoadError;
use crate::model::python_environment::PythonEnvironment;
use crate::model::text;

/// The maximum number of environments of a worker.
const ENVIRONMENTS: usize = 100;
/// The maximum number of files that ask for one environment.
const ASKED: usize = 32;
/// The maximum size of a place and of a file that asks, in bytes.
const PLACE_BYTES: usize = 512;
/// The maximum size of a version or a name, in bytes.
const WORD_BYTES: usize = 64;
/// The maximum size of a reason, in bytes.
const REASON_BYTES: usize = 2 * 1024;
/// The maximum size of one log, and of all logs of a worker, in bytes.
const LOG_BYTES: usize = 8 * 1024;
const LOGS_BYTES: usize = 64 * 1024;
/// The size of a field in memory, in bytes, rounded up.
const FIELD_BYTES: usize = 24;

/// Cuts the environments of a worker: in number, and each of them.
pub(super) fn cut(environments: &mut Vec<PythonEnvironment>, problems: &mut Vec<LoadError>) {
    let more = environments.len().saturating_sub(ENVIRONMENTS);
    if more > 0 {
        environments.truncate(ENVIRONMENTS);
        let message = format!(
            "{more} Python environments are not shown: a worker may report at most {ENVIRONMENTS}"
        );
        problems.push(LoadError::new("python_environments", message));
    }
    let mut room = LOGS_BYTES;
    for environment in environments {
        text::cut(&mut environment.place, PLACE_BYTES);
        environment.asked.truncate(ASKED);
        environment.asked.iter_mut().for_each(|file| text::cut(file, PLACE_BYTES));
        let words =
            [&mut environment.key, &mut environment.python, &mut environment.installer].into_iter();
        words.for_each(|word| text::cut(word, WORD_BYTES));
        text::cut(&mut environment.reason, REASON_BYTES);
        text::cut_front(&mut environment.log, room.min(LOG_BYTES));
        room -= environment.log.len();
    }
}

/// Returns the size of what a worker says of its environments, in bytes.
pub(super) fn size_bytes(environments: &[PythonEnvironment]) -> usize {
    let size = |environment: &PythonEnvironment| {
        let PythonEnvironment { place, asked, key, python, installer, reason, log, .. } =
            environment;
        let texts = [place, key, python, installer, reason, log].map(String::len);
        let asked = asked.iter().map(|file| file.len() + FIELD_BYTES).sum::<usize>();
        size_of::<PythonEnvironment>() + texts.iter().sum::<usize>() + asked
    };
    environments.iter().map(size).sum()
}
