//! `tinpot moor`: keys of workers of mooR.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueHint};
use tinpot_core::{Error, ErrorKind};
use tinpot_moor::SigningKey;

use crate::exit::{CliError, Code, Done};
use crate::output;

#[derive(Debug, Subcommand)]
pub(crate) enum Moor {
    /// Write a pair of keys: workers sign their tokens with the private one, and the coordinator
    /// verifies them with the public one
    #[command(
        after_help = "Files that exist are not replaced. With --from, the pair is that of a key \
                      in a file: mooR writes PKCS#8 version 2, which OpenSSL 3.0 and Python \
                      refuse, and this command writes version 1."
    )]
    Keygen(KeygenArgs),
}

#[derive(Args, Debug)]
pub(crate) struct KeygenArgs {
    /// File for the private key, which only its owner may read
    #[arg(long, value_name = "FILE", default_value = "moor-signing-key.pem")]
    #[arg(value_hint = ValueHint::FilePath)]
    private_key: PathBuf,
    /// File for the public key
    #[arg(long, value_name = "FILE", default_value = "moor-verifying-key.pem")]
    #[arg(value_hint = ValueHint::FilePath)]
    public_key: PathBuf,
    /// File with a private key to take, instead of a random one
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    from: Option<PathBuf>,
}

pub(crate) fn moor(command: &Moor) -> Done {
    let Moor::Keygen(arguments) = command;
    let key = match &arguments.from {
        Some(path) => read(path)?,
        None => SigningKey::generate()?,
    };
    // First, so that no private key is left behind without it.
    let public = &arguments.public_key;
    if public.exists() {
        let message = format!("{} exists: name another file, or remove it", public.display());
        return Err(Error::new(ErrorKind::Conflict, message).into());
    }
    key.identity().create(&arguments.private_key)?;
    fs::write(public, key.verifying_key().to_pem())
        .map_err(|error| failed("write", public, &error))?;
    output::println(&format!(
        "Private key, for workers:        {}",
        arguments.private_key.display()
    ))?;
    output::println(&format!("Public key, for the coordinator: {}", public.display()))?;
    Ok(Code::Success)
}

fn read(path: &Path) -> Result<SigningKey, CliError> {
    let text = fs::read_to_string(path).map_err(|error| failed("read", path, &error))?;
    let key = SigningKey::from_pem(&text)
        .map_err(|error| error.with_context(path.display().to_string()))?;
    if key.is_version_2() {
        output::say(&format!(
            "{} is PKCS#8 version 2, which OpenSSL 3.0 and Python refuse: the new file has version 1",
            path.display()
        ));
    }
    Ok(key)
}

fn failed(what: &str, path: &Path, error: &std::io::Error) -> CliError {
    CliError::new(Code::Failed, format!("cannot {what} {}: {error}", path.display()))
}
