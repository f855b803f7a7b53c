//! `tinpot moor`: keys of workers of mooR.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueHint};
use tinpot_core::{Error, ErrorKind};
use tinpot_moor::{CurveKey, SigningKey};

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
    /// Write the CURVE key of a coordinator, which encrypts connections of workers by TCP, and print
    /// its public key
    #[command(
        after_help = "A file that exists is not replaced. Workers that are not enrolled need the \
                      public key. It is in the file as well."
    )]
    CurveKeygen(CurveKeygenArgs),
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

#[derive(Args, Debug)]
pub(crate) struct CurveKeygenArgs {
    /// File for the key, which only its owner may read
    #[arg(long, value_name = "FILE", default_value = "moor-curve.key")]
    #[arg(value_hint = ValueHint::FilePath)]
    key: PathBuf,
}

pub(crate) fn moor(command: &Moor) -> Done {
    match command {
        Moor::Keygen(arguments) => keygen(arguments),
        Moor::CurveKeygen(arguments) => curve_keygen(&arguments.key),
    }
}

fn curve_keygen(path: &Path) -> Done {
    let key = CurveKey::generate();
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match file.and_then(|mut file| file.write_all(key.to_text().as_bytes())) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let message = format!("{} exists: name another file, or remove it", path.display());
            return Err(Error::new(ErrorKind::Conflict, message).into());
        }
        Err(error) => return Err(failed("write", path, &error)),
    }
    output::println(&format!("Key, for the coordinator: {}", path.display()))?;
    output::println(&format!("Public key, for workers:  {}", key.public()))?;
    Ok(Code::Success)
}

fn keygen(arguments: &KeygenArgs) -> Done {
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
