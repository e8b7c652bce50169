//! All lines of the table, round after round, so that whatever else the machine does meets all.

use openssl::error::ErrorStack;
use openssl::pkey::PKey;
use openssl::rsa::Rsa;
use openssl::x509::extension::BasicConstraints;

use crate::certificate;
use crate::identity::Identity;
use crate::plan::{Key, Line, Plan};
use crate::server::Workers;
use crate::visitors::Visitors;

/// A line and its rounds.
pub(crate) struct Cell {
    pub(crate) line: Line,
    pub(crate) rounds: Vec<Round>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Round {
    pub(crate) visits: u64,
    pub(crate) resumed: u64,
    pub(crate) per_second: f64,
    /// Microseconds on a core of all workers, for a visit.
    pub(crate) server_micros: f64,
}

pub(crate) fn hold(plan: &Plan) -> Result<Vec<Cell>, String> {
    let failed = |e: ErrorStack| format!("cannot make a certificate: {e}");
    let ecdsa = Identity::self_made().map_err(failed)?;
    let rsa = rsa_identity().map_err(failed)?;
    let cell = |line| Cell { line, rounds: Vec::new() };
    let mut cells: Vec<_> = Line::all().into_iter().map(cell).collect();
    for number in 1..=plan.rounds {
        for cell in &mut cells {
            let who = if cell.line.key == Key::Ecdsa { &ecdsa } else { &rsa };
            let round = round(plan, who, cell.line);
            cell.rounds.push(round.map_err(|why| format!("{}: {why}", cell.line))?);
        }
        eprintln!("round {number} of {}", plan.rounds);
    }
    Ok(cells)
}

/// Processes of its own and an empty cache for each.
fn round(plan: &Plan, who: &Identity, line: Line) -> Result<Round, String> {
    let workers = Workers::fork(plan.workers, who, line)?;
    let mut visitors = Visitors::fork(plan, who, line, &workers)?;
    let before = workers.cpu_time()?;
    let done = visitors.run()?;
    let cpu = workers.cpu_time()? - before;
    Ok(Round {
        visits: done.visits,
        resumed: done.resumed,
        per_second: done.visits as f64 / done.time.as_secs_f64(),
        server_micros: cpu.as_secs_f64() * 1e6 / done.visits as f64,
    })
}

fn rsa_identity() -> Result<Identity, ErrorStack> {
    let key = PKey::from_rsa(Rsa::generate(2048)?)?;
    let certificate = certificate::self_signed(&key, BasicConstraints::new().critical().ca())?;
    Ok(Identity { certificate, chain: Vec::new(), key })
}
