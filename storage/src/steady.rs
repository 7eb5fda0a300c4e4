//! Looking at files that someone else may be writing: a look that finds something wrong is not believed at once.
//!
//! Whoever reads while another one writes may see the beginning of a file as it was and its end as it has become, a name that
//! is gone when it is opened, or a file that is shorter than it was. None of that says anything of what is on the disk. What
//! tells it from damage is that it does not last: what a look has seen as written was there before the next look begins, so
//! that the next one sees it too. So a finding counts when two looks in a row have it.

use std::io;
use std::path::Path;

/// Whoever changes something at each of so many looks does not let anyone look.
const LOOKS_MAX: usize = 100;

/// Looks until `doubt` has none, or the same about two looks in a row.
///
/// # Errors
/// Those of a look, but for files that went or shrank meanwhile: then it looks again.
pub(crate) fn steady<L, D: PartialEq>(
    path: &Path,
    mut look: impl FnMut() -> io::Result<L>,
    doubt: impl Fn(&L) -> Option<D>,
) -> io::Result<L> {
    let mut before = None;
    for _ in 0..LOOKS_MAX {
        match look() {
            Ok(found) => match doubt(&found) {
                None => return Ok(found),
                Some(doubt) if before.as_ref() == Some(&doubt) => return Ok(found),
                doubt => before = doubt,
            },
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof) => {
                before = None;
            }
            Err(e) => return Err(e),
        }
    }
    let path = path.display();
    Err(io::Error::other(format!("{path} has changed during each of {LOOKS_MAX} looks: look again later")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(finds: &[io::Result<u8>]) -> io::Result<u8> {
        let mut finds = finds.iter();
        let look = || match finds.next().expect("no more looks than that") {
            Ok(found) => Ok(*found),
            Err(e) => Err(e.kind().into()),
        };
        steady(Path::new("there"), look, |found| (*found > 0).then_some(*found))
    }

    fn failing(kind: io::ErrorKind) -> io::Result<u8> {
        Err(kind.into())
    }

    #[test]
    fn what_does_not_last_is_not_believed() {
        use io::ErrorKind::{NotFound, PermissionDenied, UnexpectedEof};
        assert_eq!(after(&[Ok(0)]).unwrap(), 0);
        assert_eq!(after(&[Ok(1), Ok(0)]).unwrap(), 0);
        assert_eq!(after(&[Ok(1), Ok(2), Ok(2)]).unwrap(), 2);
        assert_eq!(after(&[Ok(1), failing(NotFound), Ok(1), Ok(1)]).unwrap(), 1);
        assert_eq!(after(&[failing(NotFound), failing(NotFound), Ok(0)]).unwrap(), 0);
        assert_eq!(after(&[failing(UnexpectedEof), Ok(0)]).unwrap(), 0);
        assert_eq!(after(&[failing(PermissionDenied)]).unwrap_err().kind(), PermissionDenied);
    }

    #[test]
    fn what_never_rests_is_given_up() {
        let mut looks = 0;
        let look = || {
            looks += 1;
            Ok(looks)
        };
        let error = steady(Path::new("there"), look, |found| Some(*found)).unwrap_err();
        assert!(error.to_string().contains("there has changed during each of 100 looks"), "{error}");
    }
}
