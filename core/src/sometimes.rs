//! Marks in the code of what a simulation must come to now and then: a fault that is injected but never met proves nothing.
//!
//! [`sometimes!`](crate::sometimes) marks a point. In an ordinary build it is nothing. In the simulated one each point is known,
//! reached or not, and the simulator tells which were never reached (TigerBeetle's coverage marks and Antithesis' "sometimes
//! assertions" are the models).

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
///     lovebird_core::sometimes!("a reply comes after its caller has given up");
/// }
/// ```
#[macro_export]
macro_rules! sometimes {
    ($what:literal) => {{
        #[cfg(madsim)]
        {
            static POINT: $crate::sometimes::Point = $crate::sometimes::Point::new($what, ::std::file!());
            #[$crate::sometimes::linkme::distributed_slice($crate::sometimes::POINTS)]
            #[linkme(crate = $crate::sometimes::linkme)]
            static LISTED: &'static $crate::sometimes::Point = &POINT;
            POINT.reach();
        }
    }};
}
