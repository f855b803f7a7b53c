//! Checks a value against a compiled schema.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::equality::{all_different, equal};
use super::fault::{Fault, FaultKind, Location};
use super::number;
use super::part::{Keywords, ListRules, NumberRule, ObjectRules, Part, Rules, TextRule, Type};
use crate::model::upload::is_reference;

/// Takes the faults of one check. Without a list, the check ends at the first one.
pub(super) type Faults<'l, 'a> = Option<&'l mut Vec<Fault<'a>>>;

/// Returns true if the value fits the part.
pub(super) fn is_valid(part: &Part, value: &Value) -> bool {
    Checker { part, value, at: &Location::Root, faults: None, valid: true }.run()
}

/// Returns every fault of a value, in the order of the schema's keywords.
pub(super) fn faults<'a>(part: &'a Part, value: &'a Value) -> Vec<Fault<'a>> {
    let mut found = Vec::new();
    Checker { part, value, at: &Location::Root, faults: Some(&mut found), valid: true }.run();
    found
}

/// One value against one part.
struct Checker<'l, 'a> {
    part: &'a Part,
    value: &'a Value,
    at: &'l Location<'l>,
    faults: Faults<'l, 'a>,
    valid: bool,
}

impl<'a> Checker<'_, 'a> {
    /// Checks everything, or up to the first fault if no list takes the faults.
    fn run(mut self) -> bool {
        match &self.part.rules {
            Rules::Always(true) => {}
            Rules::Always(false) => self.fault(FaultKind::FalseSchema),
            Rules::Keywords(keywords) => self.keywords(keywords),
        }
        self.valid
    }

    fn fault(&mut self, kind: FaultKind<'a>) {
        self.valid = false;
        if let Some(faults) = &mut self.faults {
            faults.push(Fault {
                kind,
                instance_path: self.at.pointer(),
                part_path: &self.part.path,
                instance: self.value,
            });
        }
    }

    /// Returns true if nothing more can change the answer.
    fn is_over(&self) -> bool {
        !self.valid && self.faults.is_none()
    }

    /// Checks the same value against another part.
    fn same(&mut self, part: &'a Part) {
        let value = self.value;
        let at = self.at;
        self.inner(part, value, at);
    }

    fn inner(&mut self, part: &'a Part, value: &'a Value, at: &Location<'_>) {
        if !self.is_over() {
            let faults = self.faults.as_deref_mut();
            self.valid &= Checker { part, value, at, faults, valid: true }.run();
        }
    }

    fn keywords(&mut self, rules: &'a Keywords) {
        if !rules.types.is_empty() && !rules.types.iter().any(|kind| is_of(self.value, *kind)) {
            self.fault(FaultKind::Type);
        }
        if rules.whole && self.value.is_f64() {
            self.fault(FaultKind::Whole);
        }
        if let Some(options) = &rules.options
            && !options.as_array().is_some_and(|all| all.iter().any(|one| equal(one, self.value)))
        {
            self.fault(FaultKind::Enum(options));
        }
        if let Some(constant) = &rules.constant
            && !equal(constant, self.value)
        {
            self.fault(FaultKind::Constant(constant));
        }
        match self.value {
            Value::Number(number) => {
                rules.numbers.iter().for_each(|rule| self.number(rule, number))
            }
            Value::String(text) => rules.texts.iter().for_each(|rule| self.text(rule, text)),
            Value::Array(items) => {
                if let Some(list) = &rules.list {
                    self.list(list, items);
                }
            }
            Value::Object(members) => {
                if let Some(object) = &rules.object {
                    self.object(object, members);
                }
            }
            Value::Null | Value::Bool(_) => {}
        }
        if !self.is_over() {
            self.combinations(rules);
        }
    }

    fn number(&mut self, rule: &'a NumberRule, number: &'a serde_json::Number) {
        let compare = |limit| number::compare(number, limit);
        let broken = match rule {
            NumberRule::Minimum(limit) if compare(limit).is_lt() => FaultKind::Minimum(limit),
            NumberRule::Maximum(limit) if compare(limit).is_gt() => FaultKind::Maximum(limit),
            NumberRule::ExclusiveMinimum(limit) if compare(limit).is_le() => {
                FaultKind::ExclusiveMinimum(limit)
            }
            NumberRule::ExclusiveMaximum(limit) if compare(limit).is_ge() => {
                FaultKind::ExclusiveMaximum(limit)
            }
            NumberRule::MultipleOf(divisor) if !number::is_multiple(number, divisor) => {
                FaultKind::MultipleOf(divisor)
            }
            _ => return,
        };
        self.fault(broken);
    }

    fn text(&mut self, rule: &'a TextRule, text: &'a str) {
        let length = || text.chars().count() as u64;
        let broken = match rule {
            TextRule::MinLength(limit) if length() < *limit => FaultKind::MinLength(*limit),
            TextRule::MinBase64(limit) if length() < *limit && !is_reference(text) => {
                FaultKind::MinLength(*limit)
            }
            TextRule::MaxLength(limit) if length() > *limit => FaultKind::MaxLength(*limit),
            TextRule::Pattern(pattern, regex) if !regex.is_match(text) => {
                FaultKind::Pattern(pattern)
            }
            TextRule::Format(format, check) if !check(text) => FaultKind::Format(format),
            // A text that is not a date breaks `format` already.
            TextRule::Date(bound)
                if super::formats::is_date(text) && !(bound.fits)(text, &bound.limit) =>
            {
                FaultKind::DateBound(bound)
            }
            _ => return,
        };
        self.fault(broken);
    }

    fn list(&mut self, rules: &'a ListRules, items: &'a [Value]) {
        let at = self.at;
        for (index, item) in items.iter().enumerate() {
            let Some(part) = rules.prefix.get(index).or(rules.items.as_ref()) else { break };
            self.inner(part, item, &Location::Index(at, index));
        }
        if self.is_over() {
            return;
        }
        let count = items.len() as u64;
        match (rules.min, rules.max) {
            (Some(min), _) if count < min => self.fault(FaultKind::MinItems(min)),
            (_, Some(max)) if count > max => self.fault(FaultKind::MaxItems(max)),
            _ => {}
        }
        if rules.unique && !all_different(items) {
            self.fault(FaultKind::UniqueItems);
        }
        if let Some(contains) = &rules.contains {
            let fitting = items.iter().filter(|item| is_valid(&contains.part, item)).count() as u64;
            if fitting < contains.min || fitting > contains.max {
                self.fault(FaultKind::Contains);
            }
        }
        if let Some(part) = &rules.unevaluated {
            let evaluated = evaluated_items(self.part, self.value, items);
            let rest = || items.iter().enumerate().filter(|(index, _)| !evaluated[*index]);
            if rest().any(|(_, item)| !is_valid(part, item)) {
                self.fault(FaultKind::UnevaluatedItems);
            }
        }
    }

    fn object(&mut self, rules: &'a ObjectRules, members: &'a Map<String, Value>) {
        let at = self.at;
        for (name, part) in &rules.properties {
            if let Some(value) = members.get(name) {
                self.inner(part, value, &Location::Name(at, name));
            }
        }
        let mut unknown = Vec::new();
        if !rules.patterns.is_empty() || rules.additional.is_some() {
            for (name, value) in members {
                let mut known = rules.properties.contains_key(name);
                for (pattern, part) in &rules.patterns {
                    if pattern.is_match(name) {
                        known = true;
                        self.inner(part, value, &Location::Name(at, name));
                    }
                }
                match &rules.additional {
                    Some(part) if !known && part.is_false() => unknown.push(name.as_str()),
                    Some(part) if !known => self.inner(part, value, &Location::Name(at, name)),
                    _ => {}
                }
            }
        }
        if !unknown.is_empty() {
            self.fault(FaultKind::UnknownProperties(unknown));
        }
        for name in rules.required.iter().filter(|name| !members.contains_key(*name)) {
            self.fault(FaultKind::Required(name));
        }
        for (name, required) in &rules.dependent_required {
            if members.contains_key(name) {
                for name in required.iter().filter(|name| !members.contains_key(*name)) {
                    self.fault(FaultKind::Required(name));
                }
            }
        }
        for (name, part) in &rules.dependent {
            if members.contains_key(name) {
                self.same(part);
            }
        }
        if self.is_over() {
            return;
        }
        let count = members.len() as u64;
        match (rules.min, rules.max) {
            (Some(min), _) if count < min => self.fault(FaultKind::MinProperties(min)),
            (_, Some(max)) if count > max => self.fault(FaultKind::MaxProperties(max)),
            _ => {}
        }
        if let Some(part) = &rules.names {
            self.names(part, members);
        }
        if let Some(part) = &rules.unevaluated {
            let evaluated = evaluated_members(self.part, self.value, members);
            let rest = members.iter().filter(|(name, _)| !evaluated.contains(name.as_str()));
            let unknown: Vec<&str> =
                rest.filter(|(_, value)| !is_valid(part, value)).map(|(name, _)| &**name).collect();
            if !unknown.is_empty() {
                self.fault(FaultKind::UnknownProperties(unknown));
            }
        }
    }

    fn names(&mut self, part: &'a Part, members: &'a Map<String, Value>) {
        for name in members.keys() {
            let value = Value::String(name.clone());
            if is_valid(part, &value) {
                continue;
            }
            match first_name_fault(part, &value) {
                Some(broken) => self.fault(FaultKind::PropertyName(name, Box::new(broken))),
                None => self.fault(FaultKind::UnknownProperties(vec![name])),
            }
        }
    }

    fn combinations(&mut self, rules: &'a Keywords) {
        rules.all_of.iter().for_each(|part| self.same(part));
        if let Some(parts) = &rules.any_of
            && !parts.iter().any(|part| is_valid(part, self.value))
        {
            self.no_alternative(parts);
        }
        if let Some(parts) = &rules.one_of {
            match parts.iter().filter(|part| is_valid(part, self.value)).take(2).count() {
                0 => self.no_alternative(parts),
                1 => {}
                _ => self.fault(FaultKind::SeveralAlternatives),
            }
        }
        if let Some(part) = &rules.not
            && is_valid(part, self.value)
        {
            self.fault(FaultKind::Not);
        }
        if let Some(condition) = &rules.condition {
            let branch = match is_valid(&condition.test, self.value) {
                true => &condition.then,
                false => &condition.otherwise,
            };
            if let Some(part) = branch {
                self.same(part);
            }
        }
    }

    fn no_alternative(&mut self, parts: &'a [Part]) {
        if self.faults.is_none() {
            self.valid = false;
            return;
        }
        let of_part = |part: &'a Part| {
            let mut found = Vec::new();
            let (value, at, faults) = (self.value, self.at, Some(&mut found));
            Checker { part, value, at, faults, valid: true }.run();
            found
        };
        let alternatives = parts.iter().map(of_part).collect();
        self.fault(FaultKind::NoAlternative(alternatives));
    }
}

/// Returns the first rule of a part that a name breaks, among those that concern texts.
fn first_name_fault<'a>(part: &'a Part, name: &Value) -> Option<FaultKind<'a>> {
    let Rules::Keywords(keywords) = &part.rules else { return None };
    let text = name.as_str()?;
    let length = text.chars().count() as u64;
    let broken = keywords.texts.iter().find_map(|rule| match rule {
        TextRule::MinLength(limit) if length < *limit => Some(FaultKind::MinLength(*limit)),
        TextRule::MaxLength(limit) if length > *limit => Some(FaultKind::MaxLength(*limit)),
        TextRule::Pattern(pattern, regex) if !regex.is_match(text) => {
            Some(FaultKind::Pattern(pattern))
        }
        TextRule::Format(format, check) if !check(text) => Some(FaultKind::Format(format)),
        _ => None,
    });
    broken.or_else(|| {
        let options = keywords.options.as_ref()?;
        Some(FaultKind::Enum(options))
    })
}

fn is_of(value: &Value, kind: Type) -> bool {
    match kind {
        Type::Null => value.is_null(),
        Type::Boolean => value.is_boolean(),
        Type::Integer => {
            value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|f| f.fract() == 0.0)
        }
        Type::Number => value.is_number(),
        Type::String => value.is_string(),
        Type::Array => value.is_array(),
        Type::Object => value.is_object(),
    }
}

/// Returns the parts that apply to the same value as `keywords`, because they hold for it.
fn applied<'a>(keywords: &'a Keywords, value: &Value) -> Vec<&'a Part> {
    let fits = |part: &&Part| is_valid(part, value);
    let mut parts: Vec<&Part> = keywords.all_of.iter().collect();
    parts.extend(keywords.any_of.iter().flatten().filter(fits));
    parts.extend(keywords.one_of.iter().flatten().filter(fits));
    if let Some(condition) = &keywords.condition {
        if is_valid(&condition.test, value) {
            parts.push(&condition.test);
            parts.extend(&condition.then);
        } else {
            parts.extend(&condition.otherwise);
        }
    }
    if let (Some(object), Value::Object(members)) = (&keywords.object, value) {
        let present = object.dependent.iter().filter(|(name, _)| members.contains_key(name));
        parts.extend(present.map(|(_, part)| part));
    }
    parts
}

/// Returns the members of an object that some rule other than `unevaluatedProperties` looks at.
fn evaluated_members<'v>(
    part: &Part,
    value: &Value,
    members: &'v Map<String, Value>,
) -> HashSet<&'v str> {
    let mut found = HashSet::new();
    let Rules::Keywords(keywords) = &part.rules else { return found };
    for inner in applied(keywords, value) {
        found.extend(evaluated_members(inner, value, members));
        if let Rules::Keywords(keywords) = &inner.rules
            && keywords.object.as_ref().is_some_and(|object| object.unevaluated.is_some())
        {
            found.extend(members.keys().map(String::as_str));
        }
    }
    if let Some(object) = &keywords.object {
        for name in members.keys() {
            let known = object.additional.is_some()
                || object.properties.contains_key(name)
                || object.patterns.iter().any(|(pattern, _)| pattern.is_match(name));
            if known {
                found.insert(name);
            }
        }
    }
    found
}

/// Returns, for each item of a list, whether some rule other than `unevaluatedItems` looks at it.
fn evaluated_items(part: &Part, value: &Value, items: &[Value]) -> Vec<bool> {
    let mut found = vec![false; items.len()];
    let Rules::Keywords(keywords) = &part.rules else { return found };
    for inner in applied(keywords, value) {
        let all = matches!(&inner.rules, Rules::Keywords(keywords)
            if keywords.list.as_ref().is_some_and(|list| list.unevaluated.is_some()));
        let of_inner = evaluated_items(inner, value, items);
        found.iter_mut().zip(of_inner).for_each(|(known, inner)| *known |= inner || all);
    }
    if let Some(list) = &keywords.list {
        for (index, item) in items.iter().enumerate() {
            found[index] |= list.items.is_some()
                || index < list.prefix.len()
                || list.contains.as_ref().is_some_and(|contains| is_valid(&contains.part, item));
        }
    }
    found
}
