//! How the C library's allocator gives memory back. Left to itself it keeps an arena for every thread that ever parsed a large
//! Bundle, and raises the size from which a block is returned when it is freed to that of the largest one seen.

/// Blocks of this size and up are mapped, and returned to the system when they are freed.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MAPPED_BYTES: i32 = 256 << 10;

/// Free memory beyond this at the end of an arena is returned to the system.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const KEPT_BYTES: i32 = 1 << 20;

/// Arenas that all threads share; more cost memory, fewer cost waiting.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const ARENAS: i32 = 2;

/// Bounds what the allocator keeps. To be called before other threads start; does nothing where the allocator is another.
pub fn bound() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[allow(unsafe_code)]
    // the C library has no other way to say this; it takes two integers and only sets parameters
    for (parameter, value) in [
        (libc::M_ARENA_MAX, ARENAS),
        (libc::M_MMAP_THRESHOLD, MAPPED_BYTES),
        (libc::M_TRIM_THRESHOLD, KEPT_BYTES),
    ] {
        // SAFETY: mallopt may be called at any time with any values; it refuses those that it does not know.
        if unsafe { libc::mallopt(parameter, value) } == 0 {
            eprintln!(
                "the allocator refuses parameter {parameter}; memory is returned later than it could be"
            );
        }
    }
}
