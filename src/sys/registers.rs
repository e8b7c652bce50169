//! What a copy leaves in the processor: a core dump has the vector registers, and a `memcpy` that
//! works with AVX-512 leaves a quarter of a kilobyte in registers that nothing else soon uses.
#![allow(unsafe_code)]

/// Clears the vector registers. On x86-64 only: elsewhere the few that `memcpy` uses are those that
/// everything uses.
#[cfg(all(target_arch = "x86_64", not(miri)))]
pub(crate) fn clear_vectors() {
    use std::arch::{asm, is_x86_feature_detected};
    if is_x86_feature_detected!("avx512f") {
        // SAFETY: the processor has the instructions, and the compiler is told what they change.
        unsafe {
            asm!(
                "vpxorq zmm16, zmm16, zmm16",
                "vpxorq zmm17, zmm17, zmm17",
                "vpxorq zmm18, zmm18, zmm18",
                "vpxorq zmm19, zmm19, zmm19",
                "vpxorq zmm20, zmm20, zmm20",
                "vpxorq zmm21, zmm21, zmm21",
                "vpxorq zmm22, zmm22, zmm22",
                "vpxorq zmm23, zmm23, zmm23",
                "vpxorq zmm24, zmm24, zmm24",
                "vpxorq zmm25, zmm25, zmm25",
                "vpxorq zmm26, zmm26, zmm26",
                "vpxorq zmm27, zmm27, zmm27",
                "vpxorq zmm28, zmm28, zmm28",
                "vpxorq zmm29, zmm29, zmm29",
                "vpxorq zmm30, zmm30, zmm30",
                "vpxorq zmm31, zmm31, zmm31",
                clobber_abi("C"),
                options(nomem, nostack, preserves_flags),
            );
        }
    }
    if is_x86_feature_detected!("avx") {
        // SAFETY: as above.
        unsafe { asm!("vzeroall", clobber_abi("C"), options(nomem, nostack, preserves_flags)) };
    }
}

#[cfg(not(all(target_arch = "x86_64", not(miri))))]
pub(crate) fn clear_vectors() {}
