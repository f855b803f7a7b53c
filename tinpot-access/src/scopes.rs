//! Scopes of tokens.

use tinpot_core::{Error, ErrorKind, Names, Result, Right, VisiblePart};

/// The most scopes of one token.
const MOST: usize = 50;
/// The longest scope in bytes.
const LONGEST: usize = 200;

/// A scope of a token, such as `run:deploy-*`.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    name: &'static str,
    pub(crate) rights: RightSet,
    pub(crate) shown: VisiblePart,
}

/// A set of rights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RightSet(u32);

impl RightSet {
    pub(crate) fn of(rights: &[Right]) -> Self {
        rights.iter().fold(Self::default(), |set, right| Self(set.0 | bit(*right)))
    }

    pub(crate) fn has(self, right: Right) -> bool {
        self.0 & bit(right) != 0
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(crate) fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Returns the bit of a right. One that is not in the list of all rights has none, and no one has it.
fn bit(right: Right) -> u32 {
    Right::ALL.iter().position(|known| *known == right).map_or(0, |position| 1 << position)
}

const SEE: [Right; 4] = [Right::SeeAction, Right::Read, Right::SeeQueue, Right::SeeWorker];

/// The names of scopes, and their rights. Those with `true` take actions behind a colon.
const SCOPES: &[(&str, bool, &[Right])] = &[
    (ALL, false, Right::ALL),
    ("read", true, &SEE),
    ("run", true, &[Right::SeeAction, Right::Run, Right::Read, Right::UseQueue, Right::SeeQueue]),
    ("cancel", true, &[Right::SeeAction, Right::Read, Right::Cancel]),
    (
        "rerun",
        true,
        &[
            Right::SeeAction,
            Right::Read,
            Right::Run,
            Right::Rerun,
            Right::UseQueue,
            Right::SeeQueue,
        ],
    ),
    ("queues", false, &[Right::SeeQueue, Right::UseQueue, Right::PauseQueue]),
    ("workers", false, &[Right::SeeWorker, Right::DrainWorker, Right::Enrol]),
    ("deploy", true, &[Right::SeeAction, Right::Deploy]),
    ("secrets", false, &[Right::UseSecretStore]),
    ("team", false, &[Right::ManageTeam, Right::ReadAudit]),
    ("server", false, &[Right::ManageServer]),
    // Without a right of the core: see `Directory::may_make_tokens`.
    (TOKENS, false, &[]),
    ("metrics", false, &[Right::ReadMetrics]),
];

/// The scope of every right of the core.
pub(crate) const ALL: &str = "all";
/// The scope with which a token can make other tokens.
pub(crate) const TOKENS: &str = "tokens";

/// Reads the scopes of a token.
///
/// # Errors
/// `InvalidInput` for an unknown scope, for none, and for too many.
pub(crate) fn parse<T: AsRef<str>>(texts: &[T]) -> Result<Vec<Scope>> {
    let invalid = |message: String| Error::new(ErrorKind::InvalidInput, message);
    if texts.is_empty() || texts.len() > MOST {
        let message = format!("a token must have 1 to {MOST} scopes (got {})", texts.len());
        return Err(invalid(message));
    }
    texts.iter().map(|text| one(text.as_ref())).collect()
}

fn one(text: &str) -> Result<Scope> {
    let invalid = |message: String| Error::new(ErrorKind::InvalidInput, message);
    if text.len() > LONGEST {
        return Err(invalid(format!(
            "a scope must have at most {LONGEST} bytes (got {})",
            text.len()
        )));
    }
    let (name, actions) = match text.split_once(':') {
        Some((name, actions)) => (name, Some(actions)),
        None => (text, None),
    };
    let Some((name, takes_actions, rights)) = SCOPES.iter().find(|(known, ..)| *known == name)
    else {
        let known: Vec<&str> = SCOPES.iter().map(|(name, ..)| *name).collect();
        return Err(invalid(format!("no scope {name:?}; there are {}", known.join(", "))));
    };
    let shown = match actions {
        None => VisiblePart::all(),
        Some("") => return Err(invalid(format!("no action behind the colon of scope {text:?}"))),
        Some(_) if !takes_actions => {
            return Err(invalid(format!("the scope {name:?} takes no actions (got {text:?})")));
        }
        Some(actions) => VisiblePart::all().actions(Names::of([actions])),
    };
    Ok(Scope { name, rights: RightSet::of(rights), shown })
}

/// Returns the first of the scopes that are asked for that gives more than each of those held.
///
/// # Errors
/// `InvalidInput` for unknown scopes.
pub(crate) fn first_beyond<'a>(asked: &'a [String], held: &[String]) -> Result<Option<&'a str>> {
    let held = parse(held)?;
    for text in asked {
        let wanted = one(text)?;
        if !held.iter().any(|scope| scope.gives(&wanted, text)) {
            return Ok(Some(text));
        }
    }
    Ok(None)
}

impl Scope {
    /// Returns true if this scope gives all that another one does, which was read from `text`.
    fn gives(&self, other: &Scope, text: &str) -> bool {
        let gives_rights = if other.rights == RightSet::default() {
            self.name == other.name || self.name == ALL
        } else {
            self.rights.and(other.rights) == other.rights
        };
        let gives_actions = match text.split_once(':') {
            // Only a `*` matches a `*`, and so all that it stands for.
            Some((_, actions)) => self.shown.actions.has(actions),
            None => self.shown.actions.is_any(),
        };
        gives_rights && gives_actions
    }
}
