//! Properties that attempts start with, whatever the program has changed for itself.

/// Properties that a program found when it started and changed for itself, and that the processes of
/// attempts get back. The default changes nothing.
///
/// ```
/// use tinpot_contain::Surroundings;
///
/// let found = Surroundings::default().umask(0o022).open_files(1024);
/// assert_eq!(found.umask, Some(0o022));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Surroundings {
    /// The file mode creation mask.
    pub umask: Option<u32>,
    /// The soft limit of open files. The hard limit stays.
    pub open_files: Option<u64>,
    /// If true, no program that they start gains privileges: `sudo` and other programs that run as
    /// another user do not work. Linux only.
    pub no_new_privileges: bool,
}

impl Surroundings {
    /// Sets the file mode creation mask.
    #[must_use]
    pub fn umask(mut self, mask: u32) -> Self {
        self.umask = Some(mask);
        self
    }

    /// Sets the soft limit of open files.
    #[must_use]
    pub fn open_files(mut self, number: u64) -> Self {
        self.open_files = Some(number);
        self
    }

    /// Keeps programs that they start from gaining privileges.
    #[must_use]
    pub fn no_new_privileges(mut self, yes: bool) -> Self {
        self.no_new_privileges = yes;
        self
    }
}
