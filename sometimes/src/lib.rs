//! Marks in the code of what a simulation must come to now and then: a fault that is injected but never met proves nothing.
//!
//! [`sometimes!`] marks a point. In an ordinary build it is nothing. In the simulated one each point is known,
//! reached or not, and the simulator tells which were never reached (TigerBeetle's coverage marks and Antithesis' "sometimes
//! assertions" are the models).
//!
//! It is a crate of its own since a point is listed by the linker, which code that forbids unsafe code leaves to another
//! crate's macro. Use it as `lovebird_core::sometimes`.
#![forbid(unsafe_code)]

#[cfg(madsim)]
mod points;

#[cfg(madsim)]
#[doc(hidden)]
pub use points::{POINTS, linkme};
#[cfg(madsim)]
pub use points::{Point, points};

/// Marks what a simulation must come to now and then, in words that read as a sentence.
///
/// ```
/// # let is_late = true;
/// if is_late {
///     lovebird_sometimes::sometimes!("a reply comes after its caller has given up");
/// }
/// ```
///
/// What is known only by asking stands before it, and is asked in the simulated build alone:
///
/// ```
/// # let reads = [1, 2];
/// lovebird_sometimes::sometimes!(reads.len() > 1, "several reads share a round");
/// ```
#[macro_export]
macro_rules! sometimes {
    ($what:literal) => {{
        #[cfg(madsim)]
        {
            static POINT: $crate::Point = $crate::Point::new($what, ::std::file!());
            #[$crate::linkme::distributed_slice($crate::POINTS)]
            #[linkme(crate = $crate::linkme)]
            static LISTED: &'static $crate::Point = &POINT;
            POINT.reach();
        }
    }};
    ($condition:expr, $what:literal) => {{
        #[cfg(madsim)]
        if $condition {
            $crate::sometimes!($what);
        }
    }};
}
