//! The values of MOO.

pub(crate) mod json;
pub(crate) mod obj;

use self::obj::Obj;

/// The deepest nesting of a value, on the wire and in JSON.
pub const DEPTH_MAX: usize = 64;

/// A value of MOO, of any type that workers can have.
///
/// [`from_json`](Self::from_json) and [`to_json`](Self::to_json) convert without loss:
///
/// ```
/// use tinpot_moor::Var;
///
/// let text = r##"["Hello",123,1.0,{"$obj":"#12"},{"$sym":"north"},{"$err":{"code":"E_PERM"}}]"##;
/// let value = Var::from_json(text)?;
/// let Var::List(items) = &value else { panic!("a list") };
/// assert_eq!(items[1..3], [Var::Int(123), Var::Float(1.0)]);
/// assert_eq!(value.to_json()?, text);
/// # Ok::<_, tinpot_moor::Fault>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Var {
    /// No value.
    None,
    /// True or false.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A number with a fraction, NaN or infinite.
    Float(f64),
    /// A text.
    Str(String),
    /// A reference to an object.
    Obj(Obj),
    /// An error as a value.
    Err(Box<ErrorValue>),
    /// A list.
    List(Vec<Var>),
    /// Pairs of keys and values. Texts that differ in case only are the same key to MOO.
    Map(Vec<(Var, Var)>),
    /// A symbol.
    Sym(String),
    /// Bytes.
    Binary(Vec<u8>),
    /// A light object.
    Flyweight(Box<Flyweight>),
    /// A reference to an anonymous object, of which only the plain dialect knows.
    Anonymous(Obj),
}

/// An error as a value.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ErrorValue {
    /// The code.
    pub code: ErrorCode,
    /// The message, if there is one.
    pub message: Option<String>,
    /// A value that belongs to the error, if there is one.
    pub value: Option<Var>,
}

impl ErrorValue {
    /// Returns an error without message and value.
    pub fn new(code: ErrorCode) -> Self {
        Self { code, message: None, value: None }
    }
}

/// The code of an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    /// The built-in error with this index in [`ErrorCode::NAMES`].
    BuiltIn(u8),
    /// An error with a symbol of its own.
    Custom(String),
}

impl ErrorCode {
    /// The names of the built-in errors, in the order of their codes.
    pub const NAMES: [&'static str; 19] = [
        "E_NONE",
        "E_TYPE",
        "E_DIV",
        "E_PERM",
        "E_PROPNF",
        "E_VERBNF",
        "E_VARNF",
        "E_INVIND",
        "E_RECMOVE",
        "E_MAXREC",
        "E_RANGE",
        "E_ARGS",
        "E_NACC",
        "E_INVARG",
        "E_QUOTA",
        "E_FLOAT",
        "E_FILE",
        "E_EXEC",
        "E_INTRPT",
    ];

    /// Returns the built-in error with this name.
    pub fn built_in(name: &str) -> Option<Self> {
        let at = Self::NAMES.iter().position(|known| *known == name)?;
        u8::try_from(at).ok().map(Self::BuiltIn)
    }
}

/// A light object: a delegate, named values, and contents.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Flyweight {
    /// The object that has the verbs.
    pub delegate: Obj,
    /// The named values.
    pub slots: Vec<(String, Var)>,
    /// The contents.
    pub contents: Vec<Var>,
}

impl Flyweight {
    /// Returns a light object without slots and contents.
    pub fn new(delegate: Obj) -> Self {
        Self { delegate, slots: Vec::new(), contents: Vec::new() }
    }
}

impl From<&str> for Var {
    fn from(text: &str) -> Self {
        Self::Str(text.to_owned())
    }
}
