//! The memory of a coordinator with and without users.

use std::path::Path;
use std::time::Duration;

use super::server::Server;
use super::{AnyError, Line};
use crate::process::resident_mb;
use crate::stats::median;

/// Measures pairs of coordinators.
pub fn measure(program: &Path, rounds: usize) -> Result<Vec<Line>, AnyError> {
    let mut memory = [const { Vec::new() }; 2];
    for _ in 0..rounds {
        for (has_users, memory) in [false, true].into_iter().zip(&mut memory) {
            let server = Server::start(program, has_users, &[])?;
            std::thread::sleep(Duration::from_secs(2));
            memory.push(resident_mb(server.id()).ok_or("the server has ended")?);
        }
    }
    let [without, with] = memory.map(|memory| median(&memory));
    let measured = format!("+{:.1} MB ({with:.1} after {without:.1})", with - without);
    Ok(vec![Line::new("users, tokens and audit: idle memory", "+4 MB", "+1 MB", measured)])
}
