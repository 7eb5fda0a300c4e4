//! Nobody is believed: what was acknowledged is read back and compared.

use crate::payload::payload;
use crate::store::{Outcome, Store};

/// Checks that a store holds exactly the entries 1 to `entries`, as they were written.
pub(crate) fn check(name: &str, store: &dyn Store, entries: u64) -> Outcome<()> {
    let (mut found, mut wrong) = (0, None);
    store.read(1..u64::MAX, &mut |number, bytes| {
        found += 1;
        if wrong.is_none() && (number != found || bytes != payload(found)) {
            wrong = Some((found, number));
        }
    })?;
    if let Some((expected, number)) = wrong {
        return Err(format!("{name} does not hold entry {expected} as it was written, but {number}").into());
    }
    if found != entries {
        return Err(format!("{name} acknowledged {entries} entries and holds {found}").into());
    }
    Ok(())
}
