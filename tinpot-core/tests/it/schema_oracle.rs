//! Random schemas and values: the core must accept exactly those that the crate `jsonschema`
//! accepts.

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};
use tinpot_core::Json;
use tinpot_core::action::Schema;

/// Generates numbers except `2.0`, which is an integer in JSON Schema but not in the languages of
/// actions.
fn number() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => (-1_i64..4).prop_map(Value::from),
        2 => select(vec![0.5, -1.25, 0.1, 0.3, 2.75, 1e-7]).prop_map(Value::from),
        1 => select(vec![i64::MAX, i64::MIN]).prop_map(Value::from),
        1 => Just(Value::from(u64::MAX)),
    ]
}

fn text() -> impl Strategy<Value = Value> {
    select(vec!["", "a", "ab", "abc", "a1", "1", "é", "A", "a b", "\u{1f600}"])
        .prop_map(Value::from)
}

fn value() -> impl Strategy<Value = Value> {
    let leaf =
        prop_oneof![Just(Value::Null), any::<bool>().prop_map(Value::from), number(), text()];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let names = select(vec!["a", "b", "c", "aa", "x/y", "~"]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(names, inner, 0..4).prop_map(|members| {
                members
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value))
                    .collect::<Map<_, _>>()
                    .into()
            }),
        ]
    })
}

fn keyword(inner: BoxedStrategy<Value>) -> BoxedStrategy<(&'static str, Value)> {
    fn of<S: Strategy<Value = Value> + 'static>(
        name: &'static str,
        values: S,
    ) -> BoxedStrategy<(&'static str, Value)> {
        values.prop_map(move |value| (name, value)).boxed()
    }
    let count = || (0_u64..4).prop_map(Value::from);
    let types =
        || select(vec!["null", "boolean", "integer", "number", "string", "array", "object"]);
    let names = || {
        prop::collection::btree_set(select(vec!["a", "b", "c", "aa"]), 0..3)
            .prop_map(|set| json!(set))
    };
    let many = || prop::collection::vec(inner.clone(), 1..4).prop_map(Value::from);
    let named = || {
        prop::collection::btree_map(select(vec!["a", "b", "aa", "x/y"]), inner.clone(), 0..3)
            .prop_map(|map| json!(map))
    };
    let patterned = prop::collection::btree_map(select(vec!["^a", "b$", "."]), inner.clone(), 0..3);
    let pattern = select(vec!["^a", "[0-9]", "^.{2}$", "\\d", "\\w+ ", "[^a-c]", "(a|b)+c?$"]);
    prop_oneof![
        4 => of("type", types().prop_map(Value::from)),
        1 => of("type", prop::collection::btree_set(types(), 1..4).prop_map(|set| json!(set))),
        2 => of("enum", prop::collection::vec(value(), 1..4).prop_map(Value::from)),
        1 => of("const", value()),
        1 => of("minimum", number()), 1 => of("maximum", number()),
        1 => of("exclusiveMinimum", number()), 1 => of("exclusiveMaximum", number()),
        1 => of("multipleOf", select(vec![json!(1), json!(2), json!(3), json!(0.1), json!(0.25)])),
        1 => of("minLength", count()), 1 => of("maxLength", count()),
        1 => of("pattern", pattern.prop_map(Value::from)),
        1 => of("minItems", count()), 1 => of("maxItems", count()),
        1 => of("uniqueItems", any::<bool>().prop_map(Value::from)),
        1 => of("contains", inner.clone()), 1 => of("minContains", count()), 1 => of("maxContains", count()),
        1 => of("items", inner.clone()), 1 => of("prefixItems", many()),
        1 => of("unevaluatedItems", inner.clone()),
        1 => of("minProperties", count()), 1 => of("maxProperties", count()),
        2 => of("properties", named()), 1 => of("patternProperties", patterned.prop_map(|map| json!(map))),
        2 => of("additionalProperties", inner.clone()), 1 => of("propertyNames", inner.clone()),
        1 => of("unevaluatedProperties", inner.clone()),
        1 => of("required", names()),
        1 => of("dependentRequired", prop::collection::btree_map(select(vec!["a", "b"]), names(), 0..2).prop_map(|map| json!(map))),
        1 => of("dependentSchemas", named()),
        1 => of("allOf", many()), 1 => of("anyOf", many()), 1 => of("oneOf", many()), 1 => of("not", inner.clone()),
        1 => of("if", inner.clone()), 1 => of("then", inner.clone()), 1 => of("else", inner),
    ]
    .boxed()
}

fn schema() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![4 => Just(json!({})), 1 => any::<bool>().prop_map(Value::from)].boxed();
    leaf.prop_recursive(4, 40, 4, |inner| {
        prop::collection::vec(keyword(inner.boxed()), 1..5).prop_map(|keywords| {
            keywords
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect::<Map<_, _>>()
                .into()
        })
    })
}

/// Generates a schema without nested schemas, so that most cases depend on a single keyword.
fn flat_schema() -> impl Strategy<Value = Value> {
    prop::collection::vec(keyword(Just(json!({"type": ["number", "null"]})).boxed()), 1..3)
        .prop_map(|keywords| {
            keywords
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect::<Map<_, _>>()
                .into()
        })
}

/// Asserts that both implementations agree about every value.
fn agree(schema: &Value, values: &[Value]) -> Result<(), TestCaseError> {
    let whole = json!({"properties": {"x": schema}});
    let oracle = jsonschema::options()
        .with_draft(jsonschema::Draft::Draft202012)
        .build(&whole)
        .expect("a schema");
    let ours = Schema::compile(&Json::parse(whole.to_string()).expect("JSON")).expect("a schema");
    for value in values {
        let parameters = json!({"x": value});
        let answer = ours.check(&Json::parse(parameters.to_string()).expect("JSON"));
        prop_assert_eq!(answer.is_ok(), oracle.is_valid(&parameters), "{}: {:?}", value, answer);
    }
    Ok(())
}

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases) }
}

proptest! {
    #![proptest_config(cases(3_000))]

    #[test]
    fn each_keyword_admits_what_the_reference_implementation_admits(
        schema in flat_schema(),
        values in prop::collection::vec(value(), 12),
    ) {
        agree(&schema, &values)?;
    }
}

proptest! {
    #![proptest_config(cases(1_500))]

    #[test]
    fn nested_schemas_admit_what_the_reference_implementation_admits(
        schema in schema(),
        values in prop::collection::vec(value(), 6),
    ) {
        agree(&schema, &values)?;
    }
}
