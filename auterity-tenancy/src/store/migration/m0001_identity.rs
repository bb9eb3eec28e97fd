/// Users are global, tenants own data, a membership joins the two with a role, a
/// session is one sign-in and the family of its refresh tokens. The vault keeps what
/// processes share, sealed.
pub(super) const SQL: &str = "
CREATE TABLE users (
    id {uuid} PRIMARY KEY,
    email TEXT NOT NULL CONSTRAINT users_email_key UNIQUE,
    password_hash TEXT NOT NULL,
    created_at {integer} NOT NULL
);
CREATE TABLE tenants (
    id {uuid} PRIMARY KEY,
    slug TEXT NOT NULL CONSTRAINT tenants_slug_key UNIQUE,
    name TEXT NOT NULL,
    created_at {integer} NOT NULL
);
CREATE TABLE memberships (
    user_id {uuid} NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    tenant_id {uuid} NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    role TEXT NOT NULL CHECK (role IN ('owner', 'admin', 'editor', 'operator', 'viewer')),
    created_at {integer} NOT NULL,
    PRIMARY KEY (user_id, tenant_id)
);
CREATE INDEX memberships_by_tenant ON memberships (tenant_id);
CREATE TABLE sessions (
    id {uuid} PRIMARY KEY,
    user_id {uuid} NOT NULL,
    tenant_id {uuid} NOT NULL,
    generation INTEGER NOT NULL,
    created_at {integer} NOT NULL,
    expires_at {integer} NOT NULL,
    idle_expires_at {integer} NOT NULL,
    revoked_at {integer},
    revoked_for TEXT,
    FOREIGN KEY (user_id, tenant_id)
        REFERENCES memberships (user_id, tenant_id) ON DELETE CASCADE
);
CREATE INDEX sessions_by_member ON sessions (user_id, tenant_id);
CREATE INDEX sessions_by_expiry ON sessions (expires_at);
CREATE INDEX sessions_by_idle_expiry ON sessions (idle_expires_at);
CREATE INDEX sessions_revoked ON sessions (revoked_at) WHERE revoked_at IS NOT NULL;
CREATE TABLE refresh_tokens (
    hash {bytes} PRIMARY KEY,
    session_id {uuid} NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    generation INTEGER NOT NULL,
    used_at {integer},
    CONSTRAINT refresh_tokens_generation_key UNIQUE (session_id, generation)
);
CREATE TABLE vault (
    name TEXT PRIMARY KEY,
    sealed {bytes} NOT NULL,
    changed_at {integer} NOT NULL
);
";
