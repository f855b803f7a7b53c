//! The conformance suite on closures and on the wrappers.

use tinpot_core::FunctionExecutor;
use tinpot_core::testing::executor::{Subject, functions};

fn closures() -> FunctionExecutor {
    functions().build().expect("the actions of the suite")
}

mod function {
    use super::{Subject, closures};

    fn subject() -> std::future::Ready<Subject> {
        std::future::ready(Subject::new(closures()).progress(true))
    }

    tinpot_core::executor_conformance!(subject);
}

mod in_an_arc {
    use std::sync::Arc;

    use super::{Subject, closures};

    fn subject() -> std::future::Ready<Subject> {
        std::future::ready(Subject::new(Arc::new(closures())).progress(true))
    }

    tinpot_core::executor_conformance!(subject);
}

mod in_a_box {
    use super::{Subject, closures};

    fn subject() -> std::future::Ready<Subject> {
        std::future::ready(Subject::new(Box::new(closures())).progress(true))
    }

    tinpot_core::executor_conformance!(subject);
}
