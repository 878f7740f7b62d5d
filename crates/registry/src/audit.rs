//! Who asks for a change, and the line of the audit log that remembers it.

use wharf_access::Principal;
use wharf_metadata::Timestamp;
use wharf_metadata::audit_log::Line;

/// Who asks, and from where.
#[derive(Clone, Copy, Debug)]
pub struct Actor<'a> {
    /// Who.
    pub principal: &'a Principal,
    /// The network address; empty for this machine, or where it is not known.
    pub address: &'a str,
}

impl<'a> Actor<'a> {
    /// Somebody whose address is not known.
    pub const fn new(principal: &'a Principal) -> Self {
        Self { principal, address: "" }
    }

    /// The line that says that `action` was done on `subject`.
    pub(crate) fn line(&self, at: Timestamp, action: &str, subject: String, detail: String) -> Line {
        Line {
            id: 0,
            at,
            actor: self.principal.name().to_owned(),
            action: action.to_owned(),
            subject,
            detail,
            address: self.address.to_owned(),
            result: "ok".to_owned(),
        }
    }
}

/// A line for what this program does by itself.
pub(crate) fn own_line(at: Timestamp, action: &str, subject: String, detail: String) -> Line {
    Line {
        id: 0,
        at,
        actor: String::new(),
        action: action.to_owned(),
        subject,
        detail,
        address: String::new(),
        result: "ok".to_owned(),
    }
}
