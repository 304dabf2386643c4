//! Configuration as written: TOML → checked → [`crate::settings::Settings`].
