//! Authorization as pure rules: who ([`Principal`]) may do what ([`Action`]) on what
//! ([`Resource`]). No I/O and no clock: everything a rule needs is in its arguments.

pub mod action;
pub mod decision;
pub mod principal;
pub mod resource;

pub use action::Action;
pub use decision::{Decision, decide};
pub use principal::{Identity, Principal};
pub use resource::{Resource, Visibility};
