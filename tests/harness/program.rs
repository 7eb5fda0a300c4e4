//! The built example.

use std::path::PathBuf;

/// The path of the arithmetic example, built beside this test.
///
/// # Panics
/// If it is not there.
pub fn arithmetic() -> PathBuf {
    // Tests are target/<profile>/deps/<test>-<hash>, examples target/<profile>/examples/<example>.
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(|deps| deps.parent()).unwrap();
    let program = profile.join("examples").join(format!("arithmetic{}", std::env::consts::EXE_SUFFIX));
    assert!(
        program.exists(),
        "{} is not built: `cargo test` builds it, `cargo test --test …` does not; run `cargo build --example arithmetic` \
         with the same profile",
        program.display(),
    );
    program
}
