//! Migrations are tested here, where steps can be made up.
