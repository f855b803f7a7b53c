//! Builds of environments without a worker.

use tinpot_core::Result;
use tinpot_venv::{BuildError, Environment, Origin, may_ask};

use super::{EnvironmentOptions, asking, origin_of, read_origins};
use crate::pool::{PythonPoolBuilder, actions_dir};

/// An environment that [`PythonPoolBuilder::build_environments`] has built, or found in the cache.
#[derive(Debug)]
#[non_exhaustive]
pub struct BuiltEnvironment {
    /// The file that asks for it, relative to the directory of actions.
    pub place: String,
    /// The environment, or the reason why there is none.
    pub result: std::result::Result<Environment, BuildError>,
}

impl PythonPoolBuilder {
    /// Builds the environments that the folders and files ask for, one after the other. With
    /// [`only`](Self::only), this builds that of the file, which may also be one that asks, such as
    /// a `requirements.txt`.
    ///
    /// # Errors
    /// `NotFound` or `InvalidInput` if the directory cannot be read.
    pub async fn build_environments(
        self,
        options: EnvironmentOptions,
    ) -> Result<Vec<BuiltEnvironment>> {
        let (dir, _, only) = self.place();
        let root = actions_dir(dir)?;
        let asking = asking(&options.directories);
        let origins: Vec<Origin> = match only {
            Some(file) if may_ask(file) => vec![Origin::Folder(String::new())],
            Some(file) => origin_of(&root, &asking, file).await?.into_iter().collect(),
            None => read_origins(&root, &asking).await?.into_keys().collect(),
        };
        let builder = self.environment_builder(options);
        let mut built = Vec::new();
        for origin in origins.into_iter().filter(|origin| !builder.asks_nothing(&root, origin)) {
            let result = builder.environment(&root, &origin).await;
            built.push(BuiltEnvironment { place: builder.place(&root, &origin), result });
        }
        Ok(built)
    }
}
