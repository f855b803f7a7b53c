//! Compiles a dereferenced schema into the rules that values are checked against.

use regex::{Regex, RegexBuilder};
use serde_json::{Map, Number, Value};

use super::super::dereference::WHOLE;
use super::formats;
use super::part::{
    Condition, Contains, DateBound, Keywords, ListRules, NumberRule, ObjectRules, Part, Rules,
    TextRule, Type,
};
use crate::model::violation::clipped;

/// The memory that a compiled pattern may take. Patterns come from workers.
const PATTERN_BYTES: usize = 1024 * 1024;

/// The JSON pointer of a part of the schema, and the reason why it is invalid.
pub(super) type Invalid = (String, String);

impl Part {
    /// Compiles a dereferenced schema. `path` is its JSON pointer.
    pub(super) fn compile(schema: &Value, path: String) -> Result<Self, Invalid> {
        let rules = match schema {
            Value::Bool(admits) => Rules::Always(*admits),
            Value::Object(keywords) => {
                Rules::Keywords(Box::new(Compiler { keywords, path: &path }.keywords()?))
            }
            _ => return Err((path, "a schema must be an object, true or false".to_owned())),
        };
        Ok(Self { path, rules })
    }
}

/// Reads the keywords of one part.
struct Compiler<'a> {
    keywords: &'a Map<String, Value>,
    path: &'a str,
}

impl Compiler<'_> {
    fn keywords(&self) -> Result<Keywords, Invalid> {
        Ok(Keywords {
            types: self.types()?,
            whole: self.keywords.contains_key(WHOLE),
            options: self.options()?,
            constant: self.keywords.get("const").cloned(),
            numbers: self.numbers()?,
            texts: self.texts()?,
            list: self.list()?,
            object: self.object()?,
            all_of: self.parts("allOf")?.unwrap_or_default(),
            any_of: self.parts("anyOf")?,
            one_of: self.parts("oneOf")?,
            not: self.part("not")?,
            condition: match self.part("if")? {
                Some(test) => {
                    let (then, otherwise) = (self.part("then")?, self.part("else")?);
                    Some(Condition { test, then, otherwise })
                }
                None => None,
            },
        })
    }

    fn types(&self) -> Result<Vec<Type>, Invalid> {
        let given = match self.keywords.get("type") {
            None => return Ok(Vec::new()),
            Some(Value::Array(names)) if !names.is_empty() => names.iter().collect(),
            Some(name) => vec![name],
        };
        let type_of = |name: &Value| match name.as_str() {
            Some("null") => Ok(Type::Null),
            Some("boolean") => Ok(Type::Boolean),
            Some("integer") => Ok(Type::Integer),
            Some("number") => Ok(Type::Number),
            Some("string") => Ok(Type::String),
            Some("array") => Ok(Type::Array),
            Some("object") => Ok(Type::Object),
            _ => {
                let names = "array, boolean, integer, null, number, object, string";
                let given = name.to_string();
                let given = clipped(&given, 100);
                self.invalid(
                    "type",
                    format!("must be one of {names}, or a list of them (got {given})"),
                )
            }
        };
        given.into_iter().map(type_of).collect()
    }

    fn options(&self) -> Result<Option<Value>, Invalid> {
        match self.keywords.get("enum") {
            None => Ok(None),
            Some(options @ Value::Array(_)) => Ok(Some(options.clone())),
            Some(_) => self.invalid("enum", "must be a list"),
        }
    }

    fn numbers(&self) -> Result<Vec<NumberRule>, Invalid> {
        type Make = fn(Number) -> NumberRule;
        let makers: [(&str, Make); 5] = [
            ("minimum", NumberRule::Minimum),
            ("maximum", NumberRule::Maximum),
            ("exclusiveMinimum", NumberRule::ExclusiveMinimum),
            ("exclusiveMaximum", NumberRule::ExclusiveMaximum),
            ("multipleOf", NumberRule::MultipleOf),
        ];
        let mut rules = Vec::new();
        for (keyword, make) in makers {
            match self.keywords.get(keyword) {
                None => {}
                Some(Value::Number(number)) => {
                    let positive = number.as_f64().is_some_and(|value| value > 0.0);
                    if keyword == "multipleOf" && !positive {
                        return self
                            .invalid(keyword, format!("must be greater than 0 (got {number})"));
                    }
                    rules.push(make(number.clone()));
                }
                Some(_) => return self.invalid(keyword, "must be a number"),
            }
        }
        Ok(rules)
    }

    fn texts(&self) -> Result<Vec<TextRule>, Invalid> {
        let mut rules = Vec::new();
        // The bytes may be an upload, to which a short text refers.
        let is_base64 = self.keywords.get("format").is_some_and(|format| format == "base64");
        let least = if is_base64 { TextRule::MinBase64 } else { TextRule::MinLength };
        rules.extend(self.count("minLength")?.map(least));
        rules.extend(self.count("maxLength")?.map(TextRule::MaxLength));
        if let Some(format) = self.keywords.get("format").and_then(Value::as_str)
            && let Some(check) = formats::check_of(format)
        {
            rules.push(TextRule::Format(format.to_owned(), check));
        }
        match self.keywords.get("pattern") {
            None => {}
            Some(Value::String(pattern)) => {
                let regex = compile_pattern(pattern).or_else(|why| self.invalid("pattern", why))?;
                rules.push(TextRule::Pattern(pattern.clone(), regex));
            }
            Some(_) => return self.invalid("pattern", "must be a string"),
        }
        type Fits = fn(&str, &str) -> bool;
        let bounds: [(&str, Fits, &str); 4] = [
            ("formatMinimum", |date, bound| date >= bound, "at least"),
            ("formatMaximum", |date, bound| date <= bound, "at most"),
            ("formatExclusiveMinimum", |date, bound| date > bound, "later than"),
            ("formatExclusiveMaximum", |date, bound| date < bound, "earlier than"),
        ];
        for (keyword, fits, words) in bounds {
            let Some(limit) = self.keywords.get(keyword) else { continue };
            match limit.as_str().filter(|limit| formats::is_date(limit)) {
                Some(limit) => {
                    rules.push(TextRule::Date(DateBound { limit: limit.to_owned(), fits, words }));
                }
                None => {
                    let message = format!(
                        "must be a date such as 2024-12-31 (got {})",
                        clipped(&limit.to_string(), 100)
                    );
                    return self.invalid(keyword, message);
                }
            }
        }
        Ok(rules)
    }

    fn list(&self) -> Result<Option<ListRules>, Invalid> {
        let contains = match self.part("contains")? {
            None => None,
            Some(part) => Some(Contains {
                part,
                min: self.count("minContains")?.unwrap_or(1),
                max: self.count("maxContains")?.unwrap_or(u64::MAX),
            }),
        };
        let unique = match self.keywords.get("uniqueItems") {
            None => false,
            Some(Value::Bool(unique)) => *unique,
            Some(_) => return self.invalid("uniqueItems", "must be true or false"),
        };
        let rules = ListRules {
            prefix: self.parts("prefixItems")?.unwrap_or_default(),
            items: self.part("items")?,
            contains,
            unique,
            min: self.count("minItems")?,
            max: self.count("maxItems")?,
            unevaluated: self.part("unevaluatedItems")?,
        };
        let any = !rules.prefix.is_empty()
            || rules.items.is_some()
            || rules.contains.is_some()
            || rules.unique
            || rules.min.or(rules.max).is_some()
            || rules.unevaluated.is_some();
        Ok(any.then_some(rules))
    }

    fn object(&self) -> Result<Option<ObjectRules>, Invalid> {
        const KEYWORDS: [&str; 10] = [
            "properties",
            "patternProperties",
            "additionalProperties",
            "propertyNames",
            "required",
            "dependentRequired",
            "dependentSchemas",
            "minProperties",
            "maxProperties",
            "unevaluatedProperties",
        ];
        if !KEYWORDS.iter().any(|keyword| self.keywords.contains_key(*keyword)) {
            return Ok(None);
        }
        let pattern_of = |(pattern, part): (String, Part)| {
            let regex = compile_pattern(&pattern);
            Ok((regex.or_else(|why| self.invalid("patternProperties", why))?, part))
        };
        Ok(Some(ObjectRules {
            properties: self.named("properties")?.into_iter().collect(),
            patterns: self
                .named("patternProperties")?
                .into_iter()
                .map(pattern_of)
                .collect::<Result<_, Invalid>>()?,
            additional: self.part("additionalProperties")?,
            names: self.part("propertyNames")?,
            required: match self.keywords.get("required") {
                Some(names) => self.names("required", names)?,
                None => Vec::new(),
            },
            dependent_required: match self.keywords.get("dependentRequired") {
                None => Vec::new(),
                Some(Value::Object(map)) => map
                    .iter()
                    .map(|(name, names)| {
                        Ok((name.clone(), self.names("dependentRequired", names)?))
                    })
                    .collect::<Result<_, Invalid>>()?,
                Some(_) => return self.invalid("dependentRequired", "must be an object"),
            },
            dependent: self.named("dependentSchemas")?,
            min: self.count("minProperties")?,
            max: self.count("maxProperties")?,
            unevaluated: self.part("unevaluatedProperties")?,
        }))
    }

    fn part(&self, keyword: &str) -> Result<Option<Part>, Invalid> {
        let compile = |schema| Part::compile(schema, format!("{}/{keyword}", self.path));
        self.keywords.get(keyword).map(compile).transpose()
    }

    fn parts(&self, keyword: &str) -> Result<Option<Vec<Part>>, Invalid> {
        let Some(schemas) = self.keywords.get(keyword) else { return Ok(None) };
        let Some(schemas) = schemas.as_array().filter(|schemas| !schemas.is_empty()) else {
            return self.invalid(keyword, "must be a list of at least one schema");
        };
        let compile =
            |(index, schema)| Part::compile(schema, format!("{}/{keyword}/{index}", self.path));
        schemas.iter().enumerate().map(compile).collect::<Result<_, _>>().map(Some)
    }

    fn named(&self, keyword: &str) -> Result<Vec<(String, Part)>, Invalid> {
        let Some(schemas) = self.keywords.get(keyword) else { return Ok(Vec::new()) };
        let Value::Object(schemas) = schemas else {
            return self.invalid(keyword, "must be an object");
        };
        let compile = |(name, schema): (&String, &Value)| {
            let escaped = name.replace('~', "~0").replace('/', "~1");
            let path = format!("{}/{keyword}/{escaped}", self.path);
            Ok((name.clone(), Part::compile(schema, path)?))
        };
        schemas.iter().map(compile).collect()
    }

    /// Reads a count: an integer of at least 0, which may be written as `2.0`.
    fn count(&self, keyword: &str) -> Result<Option<u64>, Invalid> {
        let Some(value) = self.keywords.get(keyword) else { return Ok(None) };
        let float = || value.as_f64().filter(|float| float.fract() == 0.0 && *float >= 0.0);
        match value.as_u64().or_else(|| float().map(|float| float as u64)) {
            Some(count) => Ok(Some(count)),
            None => {
                let given = value.to_string();
                let given = clipped(&given, 100);
                self.invalid(keyword, format!("must be an integer of at least 0 (got {given})"))
            }
        }
    }

    fn names(&self, keyword: &str, names: &Value) -> Result<Vec<String>, Invalid> {
        let read = |names: &Vec<Value>| {
            names.iter().map(|name| name.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
        };
        match names.as_array().and_then(read) {
            Some(names) => Ok(names),
            None => self.invalid(keyword, "must be a list of strings"),
        }
    }

    fn invalid<T>(&self, keyword: &str, message: impl Into<String>) -> Result<T, Invalid> {
        Err((format!("{}/{keyword}", self.path), message.into()))
    }
}

/// Compiles a pattern in the dialect of JSON Schema (ECMA-262) for an engine without backtracking:
/// the time of a match is linear in the text.
fn compile_pattern(pattern: &str) -> Result<Regex, String> {
    let shown = || clipped(pattern, 100);
    let translated = jsonschema_regex::to_rust_regex(pattern).map_err(|()| {
        format!(
            "must be a regular expression of JSON Schema, where ^ and $ stand for \\A and \\Z \
                 (got {:?})",
            shown()
        )
    })?;
    let built = RegexBuilder::new(&translated)
        .size_limit(PATTERN_BYTES)
        .dfa_size_limit(PATTERN_BYTES)
        .build();
    built.map_err(|error| match error {
        regex::Error::CompiledTooBig(limit) => {
            format!("must take at most {limit} bytes of memory (got {:?})", shown())
        }
        _ => format!(
            "must be a regular expression without look-around and backreferences, \
             with ^ and $ for \\A and \\Z (got {:?})",
            shown()
        ),
    })
}
