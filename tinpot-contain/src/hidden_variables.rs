//! Variables with secrets, which do not stay in the environment of a process.
//!
//! A process inherits its environment, and other processes of its user see the variables that it started
//! with: also after it has removed them, since the kernel shows the memory in which they were. So both
//! are needed: to remove them, and to overwrite that memory.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::sync::OnceLock;

use crate::environment::SECRETS;

/// The secrets of actions that this process was started with, by variable.
static TAKEN: OnceLock<BTreeMap<OsString, OsString>> = OnceLock::new();

/// Takes the variables whose names `is_hidden` selects out of the environment of this process. Secrets
/// of actions are still returned by [`secret_variable`]. On Linux, the memory that `/proc/PID/environ`
/// shows is overwritten, too.
///
/// Call it in `main` once the settings are read. It returns false, and changes nothing, if this process
/// has other threads already, which might read the environment meanwhile, and if it cannot tell.
pub fn hide_variables(is_hidden: impl Fn(&str) -> bool) -> bool {
    if !is_alone() {
        return false;
    }
    let found = std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(&is_hidden));
    let found: BTreeMap<OsString, OsString> = found.collect();
    for name in found.keys() {
        remove(name);
    }
    #[cfg(target_os = "linux")]
    overwrite(&found);
    let secrets = found.into_iter().filter(|(name, _)| is_secret(name)).collect();
    // A second call finds nothing that is new.
    let _ = TAKEN.set(secrets);
    true
}

/// Returns a secret of actions from the environment that this process was started with.
pub fn secret_variable(name: &str) -> Option<OsString> {
    let taken = TAKEN.get().and_then(|taken| taken.get(OsStr::new(name)).cloned());
    taken.or_else(|| std::env::var_os(name))
}

/// Returns the secrets of actions from the environment that this process was started with.
pub fn secret_variables() -> BTreeMap<OsString, OsString> {
    let present = std::env::vars_os();
    let mut all: BTreeMap<_, _> = present.filter(|(name, _)| is_secret(name)).collect();
    for (name, value) in TAKEN.get().into_iter().flatten() {
        all.entry(name.clone()).or_insert_with(|| value.clone());
    }
    all
}

/// Returns true for the variables with secrets of actions.
fn is_secret(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(SECRETS.as_bytes())
}

/// Returns true if this process has no other thread. False if it cannot tell.
fn is_alone() -> bool {
    std::fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.count() == 1)
}

#[allow(unsafe_code, reason = "there is no safe way to remove a variable")]
fn remove(name: &OsStr) {
    // SAFETY: the caller has checked that there is no other thread, and this one starts none
    // meanwhile: nothing reads or changes the environment at the same time.
    unsafe { std::env::remove_var(name) };
}

/// Overwrites the values of removed variables in the memory that the kernel has put them in.
#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "there is no safe way to reach what the kernel shows")]
fn overwrite(removed: &BTreeMap<OsString, OsString>) {
    let Some((start, end)) =
        std::fs::read_to_string("/proc/self/stat").ok().and_then(|s| block(&s))
    else {
        return;
    };
    // SAFETY: the kernel has put the environment there before the program began, in writable memory
    // that it never unmaps, and there is no other thread. The C library has pointers to the variables
    // that stay, which are not changed, and no longer to those that were removed.
    let bytes = unsafe {
        std::slice::from_raw_parts_mut(
            std::ptr::with_exposed_provenance_mut::<u8>(start),
            end - start,
        )
    };
    for variable in bytes.split_mut(|byte| *byte == 0) {
        let Some(at) = variable.iter().position(|byte| *byte == b'=') else { continue };
        let name = &variable[..at];
        if removed.keys().any(|other| other.as_encoded_bytes() == name) {
            // Volatile: nothing in this program reads it again.
            for byte in &mut variable[at + 1..] {
                // SAFETY: it is a reference to one byte.
                unsafe { std::ptr::write_volatile(byte, b'*') };
            }
        }
    }
}

/// Returns the addresses of the environment from the text of `/proc/self/stat`.
#[cfg(target_os = "linux")]
fn block(stat: &str) -> Option<(usize, usize)> {
    // The name of the program is in parentheses, and may have spaces and parentheses. It is followed
    // by the field with number 3.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split_ascii_whitespace().skip(50 - 3);
    let (start, end) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    (0 < start && start <= end).then_some((start, end))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::block;

    #[test]
    fn the_place_of_the_environment_is_read_whatever_the_name_of_the_program() {
        let fields = (3..=52).map(|n| n.to_string()).collect::<Vec<_>>().join(" ");
        assert_eq!(block(&format!("7 (a) b (c)) {fields}\n")), Some((50, 51)));
        assert_eq!(block("7 (a) R 1 2\n"), None);
        let hidden = format!("7 (a) {}\n", vec!["0"; 50].join(" "));
        assert_eq!(block(&hidden), None);
        let own = std::fs::read_to_string("/proc/self/stat").expect("a text");
        assert!(block(&own).is_some(), "{own}");
    }

    #[test]
    fn variables_stay_while_there_are_other_threads() {
        // The harness of the tests is one.
        assert!(!super::hide_variables(|name| name == "PATH"));
        assert!(std::env::var_os("PATH").is_some());
    }
}
