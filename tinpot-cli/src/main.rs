//! The command `tinpot`.

fn main() -> std::process::ExitCode {
    tinpot_cli::main()
}
