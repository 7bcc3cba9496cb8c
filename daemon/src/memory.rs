//! Keeping the daemon small.

/// Makes glibc serve all threads from one arena and give back what is free at its end. It reads this from the
/// environment, and only when a program starts: so the program starts itself once more, in the same process. With an
/// arena per thread what one thread frees is of no use to the others, and a daemon that has just taken ten thousand
/// records keeps twice the memory. Values that the user set stay.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn one_arena() {
    use std::os::unix::process::CommandExt;
    const SETTINGS: [(&str, &str); 2] = [("MALLOC_ARENA_MAX", "1"), ("MALLOC_TRIM_THRESHOLD_", "131072")];
    let missing: Vec<_> = SETTINGS
        .into_iter()
        .filter(|(name, _)| std::env::var_os(name).is_none())
        .collect();
    let (false, Ok(program)) = (missing.is_empty(), std::env::current_exe()) else {
        return;
    };
    // Returns only when it did not work, and then everything goes on as it is.
    let _ = std::process::Command::new(program)
        .args(std::env::args_os().skip(1))
        .envs(missing)
        .exec();
}

/// Other systems' allocators share by themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn one_arena() {}
