//! The executor suite on shell scripts.

use std::future::{Ready, ready};

use tinpot_core::testing::executor::Subject;
use tinpot_core::{Action, Json};
use tinpot_examples::shell_executor;

/// The longest argument that Linux passes to a process has 128 KiB.
const ARGUMENT_BYTES: usize = 100_000;

/// The actions of the suite: name, parameters (with `?` if they are optional) and script.
const ACTIONS: [(&str, &[&str], &str); 8] = [
    ("echo", &["value"], r#"value=${1#*:}; printf '%s\n' "${value%\}}""#),
    ("add", &["a", "b?"], "echo $((a + ${b:-2}))"),
    ("fail", &["message"], r#"printf '%s\n' "$message" >&2; exit 1"#),
    ("crash", &[], "kill -9 $$"),
    (
        "print_lines",
        &["count", "prefix?", "scratch?"],
        r#"i=0
        while [ $i -lt $count ]; do echo "${prefix:-line} $i"; i=$((i + 1)); done
        [ -z "$scratch" ] || touch "$scratch/ended""#,
    ),
    (
        "wait",
        &["dir"],
        r#"trap 'touch "$dir/cleaned"; exit 1' TERM
        touch "$dir/started"
        while :; do sleep 0.01; done"#,
    ),
    (
        "stubborn",
        &["dir"],
        r#"trap '' TERM
        touch "$dir/started"
        while ! [ -e "$dir/release" ]; do sleep 0.01; done
        touch "$dir/ended""#,
    ),
    (
        "leave_child",
        &["dir", "wait"],
        r#"trap '' TERM
        (
            touch "$dir/child_started"
            while ! [ -e "$dir/release" ]; do sleep 0.01; done
            touch "$dir/child_ended"
        ) &
        while ! [ -e "$dir/child_started" ]; do sleep 0.01; done
        touch "$dir/started"
        [ "$wait" = true ] || exit 0
        while ! [ -e "$dir/release" ]; do sleep 0.01; done
        touch "$dir/ended""#,
    ),
];

fn action(name: &str, parameters: &[&str]) -> Action {
    let name_of = |parameter: &&str| format!("\"{}\"", parameter.trim_end_matches('?'));
    let properties: Vec<_> = parameters.iter().map(|p| format!("{}: {{}}", name_of(p))).collect();
    let required: Vec<_> = parameters.iter().filter(|p| !p.ends_with('?')).map(name_of).collect();
    let schema = format!(
        r#"{{"type": "object", "properties": {{{}}}, "required": [{}]}}"#,
        properties.join(", "),
        required.join(", ")
    );
    let action = Action::new(name).expect("a name");
    action.schema(Json::parse(&schema).expect("a schema"))
}

fn subject() -> Ready<Subject> {
    let actions = ACTIONS.map(|(name, parameters, script)| (action(name, parameters), script));
    let executor = shell_executor(actions.into());
    ready(Subject::new(executor).values(false).max_parameters_bytes(ARGUMENT_BYTES))
}

tinpot_core::executor_conformance!(subject);
