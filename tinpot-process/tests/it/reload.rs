//! Towerfiles that appear, change and go.

use crate::support::{Apps, call, names, offer, until};

#[tokio::test]
async fn changes_of_towerfiles_are_followed() {
    let apps = Apps::new();
    let executor = apps.start().await;
    assert_eq!(names(&offer(&executor)), Vec::<&str>::new());

    let towerfile = |name: &str| format!("[app]\nname = {name:?}\nscript = \"main.sh\"\n");
    apps.write("some/where/main.sh", "echo one\n");
    apps.write("some/where/Towerfile", &towerfile("first"));
    until("the app", || names(&offer(&executor)) == ["first"]).await;
    assert_eq!(call(&executor, "first").await.stdout(), ["one"]);

    // Files need no reload.
    apps.write("some/where/main.sh", "echo two\n");
    assert_eq!(call(&executor, "first").await.stdout(), ["two"]);

    apps.write("some/where/Towerfile", &towerfile("second"));
    until("the other name", || names(&offer(&executor)) == ["second"]).await;
    assert!(call(&executor, "first").await.failure().message.contains("no action \"first\""));

    apps.write("some/where/Towerfile", "[app]\nname = \"second\"\nscript = 3\n");
    until("the problem", || !offer(&executor).load_errors.is_empty()).await;
    let broken = offer(&executor);
    assert_eq!(broken.load_errors[0].place, "some/where/Towerfile:3");
    assert_eq!(names(&broken), Vec::<&str>::new());

    std::fs::remove_dir_all(apps.path("some")).expect("a directory");
    until("nothing", || offer(&executor).load_errors.is_empty()).await;
}

#[tokio::test]
async fn two_apps_with_one_name_are_a_problem_of_the_second() {
    let apps = Apps::shell("twice", "echo first\n")
        .file("z/Towerfile", "[app]\nname = \"twice\"\nscript = \"main.sh\"\n")
        .file("z/main.sh", "echo second\n")
        .file("actions/Towerfile", "[app]\nname = \"python\"\n[tinpot]\nkind = \"actions\"\n")
        .file(".hidden/Towerfile", "nonsense")
        .file("twice/below/Towerfile", "nonsense");
    let executor = apps.start().await;
    let offer = offer(&executor);
    assert_eq!(names(&offer), ["twice"]);
    assert_eq!(offer.load_errors.len(), 1, "{:?}", offer.load_errors);
    assert_eq!(offer.load_errors[0].place, "z/Towerfile");
    assert!(offer.load_errors[0].message.contains("twice/Towerfile"));
    assert_eq!(call(&executor, "twice").await.stdout(), ["first"]);
}

#[tokio::test]
async fn a_program_that_is_no_supervisor_is_a_problem_and_not_a_loop() {
    let apps = Apps::shell("hello", "echo hello\n");
    let executor = apps.builder().supervisor("/bin/true").start().await.expect("an executor");
    let offer = offer(&std::sync::Arc::new(executor));
    assert_eq!(names(&offer), Vec::<&str>::new());
    let problem = &offer.load_errors[0];
    assert!(problem.blocking && problem.message.contains("supervise_if_asked"), "{problem:?}");
}
