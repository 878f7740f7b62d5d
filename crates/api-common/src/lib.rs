//! What every HTTP front door shares.
