//! Authorization as pure rules: principals, actions, resources, decisions.
