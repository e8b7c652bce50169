//! `shmtls-bench-peers`: see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    shmtls_bench_peers::main()
}
