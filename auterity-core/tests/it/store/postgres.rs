//! What only PostgreSQL can do wrong.
