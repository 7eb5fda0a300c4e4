//! Runs one target under libFuzzer. `run` builds and starts it; `LOVEBIRD_FUZZ_TARGET` names the target.
#![no_main]

use std::alloc::System;
use std::sync::OnceLock;

use cap::Cap;
use libfuzzer_sys::fuzz_target;
use lovebird_storage_fuzz::{ALL, Target};

/// What an input may make the code allocate at the most. Inputs have some KiB, but the codec believes a text of up to 16 MiB
/// before it looks for its bytes.
const MEMORY_BYTES_MAX: usize = 24 << 20;

#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, usize::MAX);

static CHOSEN: OnceLock<Target> = OnceLock::new();

fn choose() -> Target {
    let name = std::env::var("LOVEBIRD_FUZZ_TARGET").expect("LOVEBIRD_FUZZ_TARGET names a target");
    let known = ALL.iter().chain([&("guided", guided as fn(&[u8]))]);
    *known.into_iter().find(|(target, _)| *target == name).expect("LOVEBIRD_FUZZ_TARGET names a target")
}

/// Fails only for bytes that blind chance would not hit in the age of the universe, nor a fuzzer whose instrumentation is
/// broken. `run` expects this target to fail before it believes the others.
fn guided(input: &[u8]) {
    let Some((start, rest)) =
        input.split_first_chunk().map(|(start, rest)| (u64::from_le_bytes(*start), rest))
    else {
        return;
    };
    if start == 0x1122_3344_5566_7788 {
        let short = rest.first_chunk().map(|short| u32::from_le_bytes(*short));
        assert!(
            short.is_none_or(|short| short.rotate_left(8) != 0xdead_beef),
            "the planted failure was found"
        );
    }
}

fuzz_target!(|input: &[u8]| {
    let (_, run) = CHOSEN.get_or_init(choose);
    // An allocation beyond it aborts, which libFuzzer reports like any crash.
    MEMORY.set_limit(MEMORY.allocated() + MEMORY_BYTES_MAX).expect("a limit above what is in use");
    run(input);
});
