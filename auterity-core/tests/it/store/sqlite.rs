//! What only SQLite can do wrong.
