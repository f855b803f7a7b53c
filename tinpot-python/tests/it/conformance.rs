//! The executor conformance suite.

const ACTIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conformance");

mod pool {
    use tinpot_core::testing::executor::Subject;
    use tinpot_python::PythonPool;

    async fn subject() -> Subject {
        let pool = PythonPool::builder(super::ACTIONS).size(4).spare(1).start().await;
        Subject::new(pool.expect("a pool"))
    }

    tinpot_core::executor_conformance!(subject);
}

/// Attempts that share an interpreter.
mod together {
    use tinpot_core::testing::executor::Subject;
    use tinpot_python::PythonPool;

    const ACTIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conformance_shared");

    async fn subject() -> Subject {
        let pool = PythonPool::builder(ACTIONS).size(4).spare(1).start().await;
        // Processes of attempts that share an interpreter end with the interpreter, and a kill of
        // one attempt would take the others.
        Subject::new(pool.expect("a pool")).children(false).drop_kills(false)
    }

    tinpot_core::executor_conformance!(subject);
}

#[cfg(feature = "embed")]
mod embedded {
    use tinpot_core::testing::executor::{Kill, Subject};
    use tinpot_python::PythonExecutor;

    async fn subject() -> Subject {
        let executor = PythonExecutor::builder(super::ACTIONS).start().await;
        let subject = Subject::new(executor.expect("an executor")).kill(Kill::Cooperative);
        subject.children(false).drop_kills(false)
    }

    tinpot_core::executor_conformance!(subject);
}
